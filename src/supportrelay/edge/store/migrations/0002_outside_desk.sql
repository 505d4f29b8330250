-- Copies in other forms. Tickets at an outside desk, what is remembered of a CRM and how fast it may be asked.
ALTER TABLE deliveries ADD COLUMN form TEXT NOT NULL DEFAULT 'full';
ALTER TABLE deliveries ADD COLUMN form_why TEXT NOT NULL DEFAULT '';
ALTER TABLE tickets ADD COLUMN stage_mail_at INTEGER;
ALTER TABLE tickets ADD COLUMN trashed_at INTEGER;
CREATE INDEX tickets_in_trash ON tickets (trashed_at) WHERE trashed_at IS NOT NULL;

-- The same without foreign keys: emptying the trash would have them walked for each conversation. Two seconds a million.
ALTER TABLE known_ids RENAME TO known_ids_1;
CREATE TABLE known_ids (
  message_id      TEXT NOT NULL,
  conversation_id INTEGER NOT NULL,
  kind            INTEGER NOT NULL,
  PRIMARY KEY (message_id, conversation_id)
) WITHOUT ROWID;
INSERT INTO known_ids SELECT message_id, conversation_id, kind FROM known_ids_1;
DROP TABLE known_ids_1;
ALTER TABLE thread_roots RENAME TO thread_roots_1;
CREATE TABLE thread_roots (
  root            BLOB NOT NULL,
  conversation_id INTEGER NOT NULL,
  PRIMARY KEY (root, conversation_id)
) WITHOUT ROWID;
INSERT INTO thread_roots SELECT root, conversation_id FROM thread_roots_1;
DROP TABLE thread_roots_1;

-- Tickets that live at an outside desk too; a row from the first work on.
-- due_at: when its work may be claimed, NULL without work; while `holder` has the lease, the end of that lease.
CREATE TABLE desk_tickets (
  ticket_id        INTEGER PRIMARY KEY REFERENCES tickets (id),
  external_id      TEXT,  -- the same as in tickets, where lists read it; two of ours share one that was merged there
  due_at           INTEGER,
  holder           TEXT,
  tries            INTEGER NOT NULL DEFAULT 0,
  opening_began_at INTEGER,
  written_stage_id TEXT NOT NULL DEFAULT '',
  written_at       INTEGER,
  looked_at        INTEGER NOT NULL DEFAULT 0,
  last_error       TEXT NOT NULL DEFAULT ''
);
CREATE INDEX desk_tickets_at_work ON desk_tickets (due_at, holder) WHERE due_at IS NOT NULL;
CREATE INDEX desk_tickets_by_external_id ON desk_tickets (external_id) WHERE external_id IS NOT NULL;
CREATE INDEX desk_tickets_by_look ON desk_tickets (looked_at) WHERE external_id IS NOT NULL;

-- What mail, or a person here, asks of the outside desk, in the order in which it was decided; done work is deleted,
-- how it ended stands in changes. moves, records: still to be done.
CREATE TABLE desk_work (
  id        INTEGER PRIMARY KEY AUTOINCREMENT,
  ticket_id INTEGER NOT NULL REFERENCES tickets (id),
  message   INTEGER,
  at        INTEGER NOT NULL,
  stage     TEXT,
  by_person INTEGER NOT NULL,
  moves     INTEGER NOT NULL,
  records   INTEGER NOT NULL,
  began_at  INTEGER
);
CREATE INDEX desk_work_by_ticket ON desk_work (ticket_id);

-- Last known good answers of a CRM (kind: customer, deal, owners ...), fresh until expires_at.
CREATE TABLE crm_answers (
  kind       TEXT NOT NULL,
  key        TEXT NOT NULL,
  known_at   INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  body       TEXT NOT NULL,
  PRIMARY KEY (kind, key)
) WITHOUT ROWID;

-- How fast a CRM may be asked, for all processes together: theoretical arrival time of the generic cell rate.
CREATE TABLE crm_gates (
  name         TEXT PRIMARY KEY,
  arrival_at   INTEGER NOT NULL DEFAULT 0,
  closed_until INTEGER,
  closed_why   TEXT NOT NULL DEFAULT '',
  day          TEXT NOT NULL DEFAULT '',
  used_today   INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;

-- What only one process shall do, who does it until when, and where it stands.
CREATE TABLE duties (
  name   TEXT PRIMARY KEY,
  holder TEXT NOT NULL,
  until  INTEGER NOT NULL,
  notes  TEXT NOT NULL DEFAULT '{}'
) WITHOUT ROWID;

-- Automatic mail of the last hours by what it counts against (core.robot_limits), for all workers together; and what of
-- it is held until when, because it was too much.
CREATE TABLE robot_mail (
  key      TEXT NOT NULL,
  queue_id TEXT NOT NULL,
  at       INTEGER NOT NULL,
  PRIMARY KEY (key, queue_id)
) WITHOUT ROWID;
CREATE INDEX robot_mail_by_time ON robot_mail (at);

CREATE TABLE robot_stops (
  key    TEXT PRIMARY KEY,
  until  INTEGER NOT NULL,
  count  INTEGER NOT NULL,
  within INTEGER NOT NULL
) WITHOUT ROWID;
