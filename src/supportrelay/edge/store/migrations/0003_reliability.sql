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

-- Failed logins of the last hour by what they count against: a client, its surroundings, a user's name
-- (core.login_limits). until: so long it counts.
CREATE TABLE login_failures (
  key   TEXT PRIMARY KEY,
  count INTEGER NOT NULL,
  until INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX login_failures_by_time ON login_failures (until);

-- From which networks a user logged in within 90 days: others' guessing does not keep him out from there.
CREATE TABLE login_places (
  name    TEXT NOT NULL,
  network TEXT NOT NULL,
  seen_at INTEGER NOT NULL,
  PRIMARY KEY (name, network)
) WITHOUT ROWID;
CREATE INDEX login_places_by_time ON login_places (seen_at);

-- Files of contents whose rows are gone already; a crash in between must not leave them behind.
CREATE TABLE files_to_remove (
  file TEXT PRIMARY KEY
) WITHOUT ROWID;

-- Mail of our own that is in the queue. about: the message whose fate it tells; recipient: its first, in comparing form.
CREATE TABLE own_mail (
  message   INTEGER PRIMARY KEY REFERENCES messages (seq),
  kind      TEXT NOT NULL,
  about     INTEGER,
  at        INTEGER NOT NULL,
  recipient TEXT NOT NULL
);
CREATE INDEX own_mail_by_about ON own_mail (about) WHERE about IS NOT NULL;
CREATE INDEX own_mail_by_recipient ON own_mail (kind, recipient, at);

-- What authors are to be told (kind: report, delay), written with the change that made it so. due_at NULL: done.
CREATE TABLE reports_owed (
  message INTEGER NOT NULL,
  kind    TEXT NOT NULL,
  due_at  INTEGER,
  PRIMARY KEY (message, kind)
) WITHOUT ROWID;
CREATE INDEX reports_owed_by_time ON reports_owed (due_at) WHERE due_at IS NOT NULL;

-- What is broken. count: how often it was said since the last mail about it, which is `mail`, of told_at; facts are the
-- last ones. due_at: when the next may be written, NULL when there is nothing to tell.
CREATE TABLE alarms (
  kind     TEXT NOT NULL,
  key      TEXT NOT NULL,
  first_at INTEGER NOT NULL,
  last_at  INTEGER NOT NULL,
  count    INTEGER NOT NULL,
  facts    TEXT NOT NULL,
  due_at   INTEGER,
  told_at  INTEGER,
  mail     INTEGER,
  -- The last row of changes when it began: what came after tells whether it is over.
  since    INTEGER NOT NULL,
  PRIMARY KEY (kind, key)
) WITHOUT ROWID;
CREATE INDEX alarms_by_time ON alarms (due_at) WHERE due_at IS NOT NULL;

-- Messages that the administrators were told of in a digest, and in which state they were then.
CREATE TABLE digest_told (
  message INTEGER PRIMARY KEY,
  state   TEXT NOT NULL,
  at      INTEGER NOT NULL
);

-- Copies that were refused for good within a week, by whom they were for (edge.store.unreachable).
CREATE TABLE hard_failures (
  address  TEXT NOT NULL,
  delivery INTEGER NOT NULL,
  at       INTEGER NOT NULL,
  text     TEXT NOT NULL,
  PRIMARY KEY (address, delivery)
) WITHOUT ROWID;
