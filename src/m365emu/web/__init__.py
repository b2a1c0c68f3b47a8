"""The inbox over plain HTTP: `api` for programs, `pages` for people, `control` for tests that change the weather."""
