-- Accounts, own mail, accounting.

-- People who may log in: to send by submission, later to the board. `name` is in comparing form; `password_hash` is
-- argon2's own text, "" for nobody who may; `addresses` (JSON list) what he may write as beside the shared ones.
CREATE TABLE users (
  name          TEXT PRIMARY KEY,
  password_hash TEXT NOT NULL,
  addresses     TEXT NOT NULL,
  made_at       INTEGER NOT NULL,
  changed_at    INTEGER NOT NULL,
  disabled_at   INTEGER
) WITHOUT ROWID;
