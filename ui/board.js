// The board of the Rank page: pictures, order, keys, filmstrip. It keeps the order that is being made, so that a key
// costs no round trip; it tells the server what to do, and, a moment after each change, what the order is so far, for
// the pictures that would come next. Everything that anybody wrote is set as text, never as markup.
const BY_KEY = { KeyN: 'none', Digit0: 'same', Numpad0: 'same', KeyS: 'skip' }
const DRAFT = 200 // ms after the last change
const LOOK = 60 // ms between looks while pictures are missing
const AGAIN = 400 // ms, where the last look brought nothing new
const FAR = 6 // px that make a drag
const LENS = 'M11 4a7 7 0 1 0 4.2 12.6l4.6 4.6 1.4-1.4-4.6-4.6A7 7 0 0 0 11 4zm0 2a5 5 0 1 1 0 10 5 5 0 0 1 0-10zm-1 2v2H8v2h2v2h2v-2h2v-2h-2V8z'

function el(tag, more = {}, ...children) {
  const made = document.createElement(tag)
  for (const [key, value] of Object.entries(more)) {
    if (key === 'on') for (const [event, call] of Object.entries(value)) made.addEventListener(event, call)
    else if (key === 'data') Object.assign(made.dataset, value)
    else if (value !== null && value !== undefined && value !== false) made.setAttribute(key, value === true ? '' : value)
  }
  made.append(...children.filter(one => one !== null && one !== undefined))
  return made
}

const nth = place => place === 1 ? 'Best' : place === 2 ? '2nd' : place === 3 ? '3rd' : `${place}th`
const kbd = text => el('kbd', {}, text)
const image = (one, alt) => el('img', { src: one.src, alt: alt ?? one.alt, draggable: 'false' })

class Board {
  constructor(root) {
    this.root = root
    this.element = root.querySelector('.board')
    this.groups = [] // ids, best first; one group: tied
    this.here = 0
    this.favourite = false
    this.question = null
    this.sent = false
    this.keys = event => this.key(event)
    document.addEventListener('keydown', this.keys, true)
  }

  close() {
    document.removeEventListener('keydown', this.keys, true)
    clearTimeout(this.drafting)
    clearTimeout(this.looking)
  }

  update({ data, setTriggerValue }) {
    this.tell = setTriggerValue
    const fresh = this.question !== data.turn
    this.data = data
    if (fresh) {
      this.question = data.turn
      this.groups = (data.draft ?? []).map(group => group.filter(id => this.card(id))).filter(group => group.length)
      this.here = Math.min(this.here, data.cards.length - 1)
      this.favourite = false
    }
    const again = fresh || data.refused !== this.refused
    if (again) this.sent = false
    this.refused = data.refused
    clearTimeout(this.looking)
    if (data.waiting) this.looking = setTimeout(() => this.look(), LOOK)
    const shown = JSON.stringify({ ...data, draft: null }) // nothing moves once it is drawn
    if (!this.dragging && (shown !== this.shown || again)) this.draw()
    this.shown = shown
    if (fresh && this.element.getBoundingClientRect().top < 0) this.element.scrollIntoView() // a new question is seen whole
  }

  look() { // again and again: nothing comes back while nothing has changed
    if (!this.element.isConnected) return
    this.tell('look', ++Board.count)
    this.looking = setTimeout(() => this.look(), AGAIN)
  }

  card(id) { return this.data.cards.find(one => one.id === id) }
  digit(id) { return this.data.cards.findIndex(one => one.id === id) + 1 }
  groupOf(id) { return this.groups.findIndex(group => group.includes(id)) }
  place(id) { // tied places count on: best, 2nd = 2nd, 3rd
    const at = this.groupOf(id)
    return at < 0 ? 0 : at + 1
  }
  word(id) {
    const at = this.place(id)
    if (this.data.mode === 'extremes') return at === 1 ? 'Best' : at === 2 ? 'Worst' : ''
    return at ? nth(at) : ''
  }
  get ready() { return this.data.cards.every(one => one.state === 'ready') && !this.data.closed && !this.sent }
  get enough() {
    if (this.data.mode === 'extremes') return this.groups.length === 2
    return this.groups.length > 0 && !(this.groups.length === 1 && this.groups[0].length === this.data.cards.length)
  }

  // -- the order

  changed(said) {
    this.draw()
    if (!this.root.activeElement) this.root.querySelectorAll('.face')[this.here]?.focus() // so that Enter is the board's
    this.root.querySelector('.live').textContent = said
    clearTimeout(this.drafting)
    this.drafting = setTimeout(() => {
      if (!this.sent) this.tell('draft', { question: this.data.question, groups: this.groups, at: ++Board.count })
    }, DRAFT)
  }
  takeOut(id) { this.groups = this.groups.map(group => group.filter(one => one !== id)).filter(group => group.length) }
  pick(id) {
    if (!this.ready) return
    const had = this.groupOf(id) >= 0
    this.here = this.digit(id) - 1
    if (had) { this.takeOut(id); this.changed(`${this.digit(id)} is taken out`); return }
    if (this.data.mode === 'extremes' && this.groups.length === 2) this.groups.pop()
    this.groups.push([id])
    this.changed(`${this.digit(id)} is ${this.word(id)}`)
    if (this.data.mode === 'pair') this.act('order', this.groups)
  }
  join() {
    if (this.groups.length < 2 || this.data.mode !== 'order') return
    const last = this.groups.pop()
    this.groups[this.groups.length - 1].push(...last)
    this.changed(`${last.map(id => this.digit(id)).join(', ')} is ${this.word(last[0])} too`)
  }
  back() {
    const last = this.groups[this.groups.length - 1]
    if (!last) return
    const id = last.pop()
    if (!last.length) this.groups.pop()
    this.changed(`${this.digit(id)} is taken out`)
  }
  put(id, target) { // where a picture was dropped: between places, into one, out of the order, or onto another
    if (!this.ready) return
    const [kind, at] = target.split(':')
    if (this.data.mode === 'extremes' || this.data.mode === 'pair') {
      if (kind === 'rest') { this.takeOut(id); this.changed(`${this.digit(id)} is taken out`) }
      else if (this.groupOf(id) < 0) this.pick(id)
      return
    }
    const anchor = kind === 'tie' ? this.groups[Number(at)]?.find(one => one !== id) : null
    const before = kind === 'gap' ? this.groups[Number(at)]?.find(one => one !== id) ?? null : null
    const after = kind === 'gap' && before === null ? this.groups[Number(at) + 1]?.find(one => one !== id) ?? null : null
    if (kind === 'tie' && anchor === undefined) return
    this.takeOut(id)
    if (kind === 'tie') this.groups[this.groupOf(anchor)].push(id)
    else if (kind === 'gap') {
      const next = before ?? after
      if (next === null) this.groups.push([id])
      else this.groups.splice(this.groupOf(next), 0, [id])
    } else if (kind === 'card') {
      const other = this.groupOf(Number(at))
      if (other < 0) this.groups.push([id])
      else this.groups.splice(other, 0, [id])
    }
    this.changed(kind === 'rest' ? `${this.digit(id)} is taken out` : `${this.digit(id)} is ${this.word(id)}`)
  }
  move(step) { // the focused picture a place up or down
    const id = this.data.cards[this.here].id
    const at = this.groupOf(id)
    if (at < 0) { if (step < 0) this.pick(id); return }
    const alone = this.groups[at].length === 1
    const to = at + step
    if (alone && (to < 0 || to >= this.groups.length)) return
    if (alone) [this.groups[at], this.groups[to]] = [this.groups[to], this.groups[at]]
    else {
      this.groups[at] = this.groups[at].filter(one => one !== id)
      this.groups.splice(step < 0 ? at : at + 1, 0, [id])
    }
    this.changed(`${this.digit(id)} is ${this.word(id)}`)
  }

  // -- what is told to the server

  act(kind, groups = []) {
    if (this.sent || this.data.closed) return
    const answers = !['undo', 'redo', 'keep', 'back', 'retry'].includes(kind)
    if (answers && !['skip', 'cannot'].includes(kind) && !this.data.cards.every(one => one.state === 'ready')) return
    clearTimeout(this.drafting)
    clearTimeout(this.looking)
    this.sent = kind !== 'retry'
    this.tell('act', { kind, groups, question: this.data.question, at: ++Board.count, turn: this.data.turn })
    this.draw()
  }
  done() {
    if (!this.enough) { this.root.querySelector('.live').textContent = 'Put at least one picture in order first'; return }
    this.act(this.data.mode === 'extremes' ? 'extremes' : 'order', this.groups)
  }

  // -- keys

  key(event) {
    if (!this.element.isConnected) { this.close(); return }
    const at = event.composedPath()[0]
    if (at instanceof Element && (at.matches('input, textarea, select, [contenteditable]') || at.closest('[role="dialog"]'))) return
    if (document.querySelector('[data-testid="stDialog"]')) return
    const own = event.composedPath().includes(this.element)
    const done = call => { event.preventDefault(); event.stopImmediatePropagation(); call() }
    const lens = this.root.querySelector('dialog')
    if (lens?.open) {
      if (event.code === 'Space' || event.key === 'Escape') done(() => { lens.close(); this.draw() })
      return
    }
    const button = at instanceof HTMLElement && at.matches('button, a, summary') && !at.matches('.face')
    if (button && (event.key === 'Enter' || event.key === ' ')) return
    const number = /^(?:Digit|Numpad)([1-9])$/.exec(event.code)
    const ctrl = event.ctrlKey || event.metaKey
    if (ctrl && event.code !== 'KeyZ' && event.code !== 'KeyY') return
    const cards = this.data.cards
    const id = cards[this.here]?.id
    if (event.key === '?') return done(() => this.act('cannot'))
    if (number && !event.shiftKey && !event.altKey && Number(number[1]) <= cards.length) return done(() => this.pick(cards[number[1] - 1].id))
    if (event.altKey && (event.key === 'ArrowLeft' || event.key === 'ArrowUp')) return done(() => this.move(-1))
    if (event.altKey && (event.key === 'ArrowRight' || event.key === 'ArrowDown')) return done(() => this.move(1))
    if (event.altKey) return
    if (event.key === 'ArrowLeft') return done(() => this.focus(this.here - 1))
    if (event.key === 'ArrowRight') return done(() => this.focus(this.here + 1))
    if (event.key === 'Backspace') return done(() => this.back())
    if (event.key === 'Enter') return done(() => this.done())
    if (event.key === ' ' && (own || at === document.body)) return done(() => this.closer(id))
    if (event.key === '=' || event.code === 'KeyT') return done(() => this.join())
    if (event.code === 'KeyZ') return done(() => (event.shiftKey ? this.redo() : this.undo()))
    if (event.code === 'KeyY') return done(() => this.redo())
    if (event.code === 'KeyP') return done(() => this.act('keep', [[id], ...this.groups]))
    if (event.code === 'KeyM') return done(() => this.act('more', [[id]]))
    if (event.code === 'KeyF') return done(() => this.flip())
    if (BY_KEY[event.code]) return done(() => this.act(BY_KEY[event.code]))
  }
  undo() { if (this.data.undo) this.act('undo') }
  redo() { if (this.data.redo) this.act('redo') }
  flip() { this.favourite = !this.favourite; this.draw() }
  focus(to) {
    this.here = Math.max(0, Math.min(this.data.cards.length - 1, to))
    this.draw()
    this.root.querySelectorAll('.face')[this.here]?.focus()
  }
  closer(id) {
    const one = this.card(id)
    if (!one?.src) return
    const lens = this.root.querySelector('dialog')
    lens.replaceChildren(image(one))
    lens.showModal()
  }

  // -- dragging, by pointer: mouse, pen and finger alike

  drag(id, event) {
    if (event.button !== 0) return
    const from = [event.clientX, event.clientY]
    let ghost = null
    const over = moved => this.root.elementFromPoint?.(moved.clientX, moved.clientY)?.closest('[data-drop]') ?? null
    const move = moved => {
      if (!ghost && Math.hypot(moved.clientX - from[0], moved.clientY - from[1]) < FAR) return
      if (!ghost) {
        ghost = el('div', { class: 'ghost' }, ...(this.card(id)?.src ? [image(this.card(id), '')] : []))
        this.element.append(ghost)
        this.dragging = true
      }
      ghost.style.left = `${moved.clientX - 42}px`
      ghost.style.top = `${moved.clientY - 42}px`
      this.root.querySelectorAll('.over').forEach(one => one.classList.remove('over'))
      over(moved)?.classList.add('over')
    }
    const end = ended => {
      window.removeEventListener('pointermove', move)
      window.removeEventListener('pointerup', end)
      window.removeEventListener('pointercancel', end)
      const target = ended.type === 'pointerup' ? over(ended) : null
      ghost?.remove()
      this.dragging = false
      if (!ghost) { if (ended.type === 'pointerup') this.pick(id) }
      else if (target && target.dataset.drop !== `card:${id}`) this.put(id, target.dataset.drop)
      else this.draw()
    }
    window.addEventListener('pointermove', move)
    window.addEventListener('pointerup', end)
    window.addEventListener('pointercancel', end)
  }

  // -- drawing

  draw() {
    const { data } = this
    const held = this.root.activeElement?.dataset?.focus
    const top = this.root.querySelector('.strip')?.scrollLeft
    const wide = data.cards.length > 6
    const parts = wide ? [this.bar(), this.pictures(), this.hints(true)] : [el('div', {}, this.pictures(), this.hints(false)), this.rail()]
    this.element.replaceChildren(
      el('div', { class: wide ? 'main wide' : 'main' }, ...parts), this.foot(),
      el('div', { class: 'live', 'aria-live': 'polite' }), el('dialog', { 'aria-label': 'Looking closer', on: { click: event => event.currentTarget.close() } }),
    )
    const strip = this.root.querySelector('.strip')
    strip.scrollLeft = top ?? strip.scrollWidth
    if (held) this.root.querySelector(`[data-focus="${held}"]`)?.focus()
  }

  pictures() {
    const n = this.data.cards.length
    const cards = this.data.cards.map((one, i) => {
      const word = this.word(one.id)
      const face = one.lines ? el('div', { class: 'lines' }, ...one.lines.map(([name, value]) => el('div', {}, el('span', {}, name), el('span', {}, value))))
        : one.src ? image(one) : el('div', { class: 'wait' }, one.state === 'failed' ? one.alt : 'Drawing…')
      return el('div', { class: `card ${one.state} ${i === this.here ? 'here' : ''}`, data: { drop: `card:${one.id}`, id: one.id } },
        el('button', { class: 'face', type: 'button', 'aria-pressed': word ? 'true' : 'false', data: { focus: `face${i}` },
          'aria-label': `${i + 1}: ${one.alt || 'being drawn'}${word ? `, ${word}` : ''}`,
          on: { pointerdown: event => this.drag(one.id, event), focus: () => this.mark(i) } }, face),
        word ? el('span', { class: word === 'Best' ? 'place best' : 'place' }, word) : null,
        one.kept ? el('span', { class: 'kept' }, 'kept') : null,
        el('span', { class: 'digit', 'aria-hidden': 'true' }, kbd(String(i + 1))),
        one.src ? el('button', { class: 'closer', type: 'button', 'aria-label': `Look closer at ${i + 1}`, data: { focus: `lens${i}` }, on: { click: () => this.closer(one.id) } }, this.lens()) : null)
    })
    const same = this.data.same ? el('p', { class: 'small same' }, this.data.same) : null
    return el('div', {}, el('div', { class: `cards ${n === 2 || n === 4 ? 'two' : n > 6 ? 'four' : ''}`, role: 'group', 'aria-label': 'Pictures' }, ...cards), same)
  }
  mark(i) {
    if (this.here === i) return
    this.here = i
    this.root.querySelectorAll('.card').forEach((one, at) => one.classList.toggle('here', at === i))
  }
  lens() {
    const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg')
    svg.setAttribute('viewBox', '0 0 24 24')
    svg.setAttribute('aria-hidden', 'true')
    const path = document.createElementNS('http://www.w3.org/2000/svg', 'path')
    path.setAttribute('d', LENS)
    path.setAttribute('fill', 'currentColor')
    svg.append(path)
    return svg
  }

  title() { return { pair: 'Which do you like better?', extremes: 'Which is best, which is worst?' }[this.data.mode] ?? 'Which do you like best?' }
  hint() {
    return { pair: 'Press its number, or click it.', extremes: 'Press the number of the best, then of the worst.' }[this.data.mode]
      ?? 'Press the numbers, click or drag, best first. Stop when the rest no longer matter.'
  }
  progress() {
    const bar = el('span', { class: 'bar', 'aria-hidden': 'true' }, el('i'))
    bar.firstChild.style.width = `${100 * Math.min(1, this.data.round / this.data.rounds)}%`
    const about = this.data.round <= this.data.rounds ? ` of about ${this.data.rounds}` : ''
    return el('div', { class: 'round' }, `Round ${this.data.round}${about}`, bar, this.data.left)
  }
  button(kind, text, key, call, off = false) {
    return el('button', { class: kind, type: 'button', disabled: off, data: { focus: key }, on: { click: call } }, text, kbd(key))
  }
  trouble() { return this.data.trouble ? el('p', { class: 'trouble', role: 'alert' }, this.data.trouble, this.data.retry ? this.button('plain', 'Try again', '↻', () => this.act('retry')) : null) : null }

  bar() {
    return el('div', { class: 'top' }, el('h2', {}, this.title()), el('p', { class: 'hint' }, 'Press the numbers, click or drag, best first.'),
      this.trouble(), el('span', { class: 'push' }), el('span', { class: 'small' }, this.data.study), this.progress(),
      this.button('plain', 'Undo', 'Z', () => this.undo(), !this.data.undo), this.button('plain', 'Redo', 'Y', () => this.redo(), !this.data.redo),
      this.go())
  }
  go() { return this.button('go', 'Done, next round', 'Enter', () => this.done(), !this.ready || !this.enough) }

  thumb(id) {
    const one = this.card(id)
    return el('button', { class: 'thumb', type: 'button', 'aria-label': `${this.digit(id)}: ${this.word(id) || 'the rest'}`, data: { id, focus: `thumb${id}` },
      on: { pointerdown: event => this.drag(id, event), focus: () => this.mark(this.digit(id) - 1) } }, one.src ? image(one, '') : null, kbd(String(this.digit(id))))
  }
  order() {
    const rows = []
    this.groups.forEach((group, i) => {
      rows.push(el('div', { class: 'gap', data: { drop: `gap:${i}` } }))
      const inside = group.flatMap((id, j) => j ? ['=', this.thumb(id)] : [this.thumb(id)])
      rows.push(el('div', { class: 'row', data: { drop: `tie:${i}` } }, el('b', {}, this.word(group[0])), el('div', { class: 'in' }, ...inside)))
    })
    rows.push(el('div', { class: 'gap', data: { drop: `gap:${this.groups.length}` } }, this.groups.length ? '' : ''))
    if (!this.groups.length) rows.push(el('div', { class: 'row', data: { drop: 'gap:0' } }, el('span', { class: 'small' }, 'Nothing yet. Drop the best picture here.')))
    const rest = this.data.cards.map(one => one.id).filter(id => this.groupOf(id) < 0)
    if (rest.length) rows.push(el('div', { class: 'row rest', data: { drop: 'rest' } }, el('b', {}, 'The rest'), el('div', { class: 'in' }, ...rest.map(id => this.thumb(id)))))
    return el('div', { class: 'order', role: 'group', 'aria-label': 'Your order' }, el('h3', {}, 'Your order'), ...rows)
  }
  rail() {
    const { data } = this
    const say = (key, text, kind) => el('button', { type: 'button', data: { focus: kind }, disabled: data.closed, on: { click: () => this.act(kind) } }, kbd(key), text)
    return el('div', { class: 'rail' }, el('div', { class: 'study' }, data.study), this.progress(), el('h2', {}, this.title()), el('p', { class: 'hint' }, this.hint()),
      this.trouble(), data.mode === 'pair' ? null : this.order(), data.mode === 'pair' ? null : this.go(),
      el('div', { class: 'two-up' }, this.button('plain', 'Undo', 'Z', () => this.undo(), !data.undo), this.button('plain', 'Redo', 'Y', () => this.redo(), !data.redo)),
      el('p', { class: 'small' }, 'Undo brings back the very same pictures, as often as you like.'),
      el('div', { class: 'say' }, say('N', 'None of these will do', 'none'), say('0', 'All the same to me', 'same'), say('?', 'I can’t tell, show others', 'cannot'), say('S', 'Skip', 'skip')))
  }
  hints(wide) {
    const n = this.data.cards.length
    const one = (keys, text, call) => el(call ? 'button' : 'span', call ? { type: 'button', data: { focus: text }, on: { click: call } } : {}, ...keys.flatMap(key => [kbd(key), ' ']), text)
    const id = () => this.data.cards[this.here].id
    const tie = this.data.mode === 'order' ? [one(['T'], wide ? 'same as before' : 'same as the one before', () => this.join())] : []
    return el('div', { class: 'keys' }, one(n > 2 ? ['1', '…', String(n)] : ['1', '2'], this.data.mode === 'pair' ? 'better' : 'next best'), ...tie,
      ...(wide ? [] : [one(['←', '→'], 'move')]), one(['⌫'], 'take back', () => this.back()), one(['Space'], 'look closer', () => this.closer(id())),
      one(['P'], 'keep', () => this.act('keep', [[id()], ...this.groups])), one(['M'], 'more like this', () => this.act('more', [[id()]])),
      ...(wide ? [one(['N'], 'none will do', () => this.act('none')), one(['0'], 'all the same', () => this.act('same')), one(['?'], 'can’t tell', () => this.act('cannot')), one(['S'], 'skip', () => this.act('skip'))] : []))
  }
  foot() {
    const { data } = this
    const frames = data.strip.map(one => el('figure', {}, el('button', { type: 'button', 'aria-label': `${one.label}: go on from this picture`, title: 'Go on from this picture',
      data: { focus: `strip${one.label}` }, on: { click: () => this.act('back', [[one.id]]) } }, one.src ? image(one, '') : '…'), el('figcaption', {}, one.label)))
    frames.push(el('figure', { class: 'last' }, el('div', { class: 'now', 'aria-hidden': 'true' }, '•••'), el('figcaption', {}, `Round ${data.round}`)))
    const known = data.favourite
    const text = !known ? ['None yet'] : this.favourite ? known.lines : ['Hidden while you choose']
    const fav = el('button', { class: 'fav', type: 'button', 'aria-expanded': String(this.favourite), data: { focus: 'favourite' }, disabled: !known, on: { click: () => this.flip() } },
      this.favourite && known?.src ? image(known, 'Your favourite so far') : null,
      el('div', {}, el('b', {}, 'Favourite so far '), this.favourite ? ' hide ' : null, this.favourite ? kbd('F') : null,
        ...text.map(line => el('div', { class: 'small' }, line, ...(this.favourite ? [] : [' ', kbd('F')])))))
    return el('div', { class: 'foot' }, el('div', { class: 'strip', role: 'group', 'aria-label': 'From the start to now', tabindex: '0' }, ...frames), fav)
  }
}
Board.count = Date.now()
const boards = new WeakMap()

export default function (component) {
  const root = component.parentElement
  let board = boards.get(root)
  if (!board) boards.set(root, (board = new Board(root)))
  board.update(component)
  return () => {
    if (!board.element.isConnected) { board.close(); boards.delete(root) }
  }
}
