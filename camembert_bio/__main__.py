"""`python -m camembert_bio`: what launchers start on each rank."""

from camembert_bio.cli import main

if __name__ == "__main__":
    main()
