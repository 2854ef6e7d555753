"""Who may use a study's page: a token for each rater and one for the organiser, exchanged for sessions."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from ls_backend.studies.tokens import ORGANISER, hashed, is_hash_of, is_token, new_token

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ls_backend.studies.page_database import Database

SESSION_S: Final = 60 * 86400.0
MOST_SESSIONS: Final = 20  # of one person; the oldest end first


class People:
    """The tokens and sessions in a database; only hashes of either are in it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def raters(self) -> int:
        return self._database.rows("SELECT COUNT(*) FROM people WHERE number <> ?", ORGANISER)[0][0]

    def add(self, raters: int) -> dict[int, str]:
        """Have the organiser and at least so many raters. Gives the tokens of those who are new, by number."""
        with self._database.writing() as db:
            known = {number for (number,) in db.execute("SELECT number FROM people")}
            made = {number: new_token() for number in range(raters + 1) if number not in known}
            db.executemany("INSERT INTO people VALUES (?, ?)", [(n, hashed(token)) for n, token in made.items()])
        return made

    def renew(self) -> dict[int, str]:
        """Give everybody another token and end all sessions: the links of before open nothing any more."""
        with self._database.writing() as db:
            made = {number: new_token() for (number,) in db.execute("SELECT number FROM people").fetchall()}
            db.executemany("UPDATE people SET token = ? WHERE number = ?", [(hashed(t), n) for n, t in made.items()])
            db.execute("DELETE FROM sessions")
        return made

    def valid(self, tokens: Mapping[int, str]) -> dict[int, str]:
        """Those tokens that still let their person in."""
        known = dict(self._database.rows("SELECT number, token FROM people"))
        return {number: token for number, token in tokens.items() if is_hash_of(known.get(number, b""), token)}

    def enter(self, token: str) -> tuple[int, str] | None:
        """A new session for who has the token, None where nobody has: (number, session)."""
        if not is_token(token):
            return None
        found = self._database.rows("SELECT number, token FROM people WHERE token = ?", hashed(token))
        if not found or not is_hash_of(found[0][1], token):
            return None
        number, session, now = found[0][0], new_token(), time.time()
        with self._database.writing() as db:
            db.execute("INSERT INTO sessions VALUES (?, ?, ?)", (hashed(session), number, now))
            db.execute("DELETE FROM sessions WHERE made < ?", (now - SESSION_S,))
            db.execute(
                "DELETE FROM sessions WHERE person = ? AND hash NOT IN"
                " (SELECT hash FROM sessions WHERE person = ? ORDER BY made DESC LIMIT ?)",
                (number, number, MOST_SESSIONS),
            )
        return number, session

    def of(self, session: str | None) -> int | None:
        """Whose session it is, None where it is nobody's."""
        if session is None or not is_token(session):
            return None
        query = "SELECT person, hash FROM sessions WHERE hash = ? AND made > ?"
        found = self._database.rows(query, hashed(session), time.time() - SESSION_S)
        return found[0][0] if found and is_hash_of(found[0][1], session) else None
