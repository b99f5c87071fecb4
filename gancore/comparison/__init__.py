"""The comparison: recipes trained alike, judged alike, and one page that says what came of it."""
