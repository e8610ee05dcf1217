"""The entry that the server runs for every browser tab. A new page is one file and one row in `ui/pages.py`.

Worker processes import the main script again, under another name: hence the guard.
"""

if __name__ == "__main__":
    from ui.frame import main

    main()
