"""The entry that the server runs for every browser tab.

Worker processes import the main script again, under another name: hence the guard.
"""

if __name__ == "__main__":
    from ui.frame import main

    main()
