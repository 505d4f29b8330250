-- What supportrelay keeps. Times are microseconds since 1970 UTC; JSON is compact text; addresses in *_key columns and
-- in participants, contacts and absences are in comparing form (core.mailbox). `migrations/` brings older files here.

CREATE TABLE meta (
  name  TEXT PRIMARY KEY,
  value TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE migrations (
  number     INTEGER PRIMARY KEY,
  name       TEXT NOT NULL,
  applied_at INTEGER NOT NULL
);

CREATE TABLE signing_keys (
  id      INTEGER PRIMARY KEY,
  secret  BLOB NOT NULL,
  made_at INTEGER NOT NULL
);

-- One row for each mail we took custody of.
-- due_at is when the present state wants attention, and by whom nobody else may take it before:
--   accepted, waiting: when it may be claimed; while `holder` has the lease, the end of that lease
--   composed:          since when nobody has got a copy (0: all copies failed); NULL once somebody has, Allmember was
--                      asked, or the last refusal was our own fault
--   other states:      NULL
CREATE TABLE messages (
  seq             INTEGER PRIMARY KEY,
  queue_id        TEXT NOT NULL UNIQUE,
  state           TEXT NOT NULL,
  due_at          INTEGER,
  holder          TEXT,
  tries           INTEGER NOT NULL DEFAULT 0,
  accepted_at     INTEGER NOT NULL,
  first_wait_at   INTEGER,
  failover_at     INTEGER,
  conversation_id INTEGER,  -- no foreign keys: checking these two doubles the cost of settling the row
  first_arrival   INTEGER,
  size_octets     INTEGER NOT NULL,
  is_smtputf8     INTEGER NOT NULL,
  message_id      TEXT NOT NULL,
  subject         TEXT NOT NULL,
  reverse_path    TEXT NOT NULL,
  forward_paths   TEXT NOT NULL,
  peer            TEXT NOT NULL,
  released_by     TEXT NOT NULL DEFAULT ''
);
-- Everything that is not finished; claims, the queue list and the search for unread mail all walk this one index.
CREATE INDEX messages_at_work ON messages (state, due_at, holder) WHERE state NOT IN ('delivered', 'filed');
CREATE INDEX messages_by_message_id ON messages (message_id) WHERE message_id <> '';
CREATE INDEX messages_by_conversation ON messages (conversation_id) WHERE conversation_id IS NOT NULL;
CREATE INDEX messages_by_first_arrival ON messages (first_arrival) WHERE first_arrival IS NOT NULL;

-- The octets as received; large ones lie in `file`, a path below contents/.
CREATE TABLE contents (
  message INTEGER PRIMARY KEY REFERENCES messages (seq),
  octets  BLOB,
  file    TEXT
);

-- What was decided; apart from messages, whose rows are rewritten with every state.
CREATE TABLE decisions (
  message      INTEGER PRIMARY KEY REFERENCES messages (seq),
  is_inbound   INTEGER NOT NULL,
  sent_at      INTEGER NOT NULL,
  direction    TEXT NOT NULL,
  place        TEXT NOT NULL,
  address_name TEXT NOT NULL,
  customer     TEXT NOT NULL,
  copy_plan    TEXT,
  decision     TEXT NOT NULL
);

-- First arrival of each mail (core.duplicate).
CREATE TABLE arrivals (
  duplicate_key TEXT PRIMARY KEY,
  message       INTEGER NOT NULL REFERENCES messages (seq)
) WITHOUT ROWID;
CREATE INDEX arrivals_by_message ON arrivals (message);

-- One row for each copy, never deleted: ids stand in tokens and must not come again. `attempts` and `begun_at` are written before the attempt is made; how it ended stands in changes.
-- due_at: when it may be claimed; while `holder` has the lease, the end of that lease.
CREATE TABLE deliveries (
  id             INTEGER PRIMARY KEY,
  message        INTEGER NOT NULL REFERENCES messages (seq),
  state          TEXT NOT NULL,
  due_at         INTEGER,
  holder         TEXT,
  attempts       INTEGER NOT NULL,
  begun_at       INTEGER,
  kind           TEXT NOT NULL,
  recipient      TEXT NOT NULL,
  recipient_key  TEXT NOT NULL,
  why            TEXT NOT NULL,
  new_message_id TEXT NOT NULL,
  last_reply     TEXT NOT NULL DEFAULT '',
  -- How much of the mail the copy holds, and the refusal that led to it.
  form           TEXT NOT NULL DEFAULT 'full',
  form_why       TEXT NOT NULL DEFAULT ''
);
CREATE INDEX deliveries_at_work ON deliveries (due_at, holder) WHERE state IN ('due', 'sending', 'deferred');
CREATE INDEX deliveries_by_message ON deliveries (message);
CREATE INDEX deliveries_by_new_message_id ON deliveries (new_message_id) WHERE new_message_id <> '';

CREATE TABLE tickets (
  id                     INTEGER PRIMARY KEY AUTOINCREMENT,
  version                INTEGER NOT NULL DEFAULT 1,
  stage                  TEXT NOT NULL,
  merged_into            INTEGER REFERENCES tickets (id),
  related_ticket_id      INTEGER,
  created_at             INTEGER NOT NULL,
  updated_at             INTEGER NOT NULL,
  closed_at              INTEGER,
  last_mail_at           INTEGER NOT NULL,
  last_customer_mail_at  INTEGER,
  moved_by_person_at     INTEGER,
  last_had_support_in_cc INTEGER NOT NULL DEFAULT 0,
  address                TEXT NOT NULL,
  subject                TEXT NOT NULL,
  subject_key            TEXT NOT NULL,
  customer               TEXT NOT NULL,
  customer_domain        TEXT NOT NULL,
  company_id             TEXT NOT NULL,
  company_name           TEXT NOT NULL,
  deal_id                TEXT NOT NULL,
  deal_name              TEXT NOT NULL,
  owners                 TEXT NOT NULL,
  priority               TEXT NOT NULL,
  external_id            TEXT,
  -- Message-IDs of the customer's mails, newest first, at most 50, one a line.
  customer_message_ids   TEXT NOT NULL DEFAULT '',
  -- When the mail was accepted that last decided the stage.
  stage_mail_at          INTEGER,
  -- Deleted at the outside desk: no mail joins it any more, and after 30 days it goes for good.
  trashed_at             INTEGER
);
CREATE INDEX tickets_in_trash ON tickets (trashed_at) WHERE trashed_at IS NOT NULL;
CREATE INDEX tickets_by_customer ON tickets (customer, stage, subject_key) WHERE customer <> '';
CREATE INDEX tickets_by_stage ON tickets (stage, updated_at) WHERE merged_into IS NULL;
CREATE INDEX tickets_by_target ON tickets (merged_into) WHERE merged_into IS NOT NULL;

-- What hangs together by its ids; a ticket that others were merged into has several.
CREATE TABLE conversations (
  id          INTEGER PRIMARY KEY,
  ticket_id   INTEGER NOT NULL REFERENCES tickets (id),
  subject_key TEXT NOT NULL
);
CREATE INDEX conversations_by_ticket ON conversations (ticket_id);

-- Message-IDs that lead to a conversation. kind: 0 anchor (only named by others), 1 seen (a stored mail's own), 2 generated (ours).
-- No foreign keys in these two: there is no index by conversation, so each conversation that goes would have them walked.
CREATE TABLE known_ids (
  message_id      TEXT NOT NULL,
  conversation_id INTEGER NOT NULL,
  kind            INTEGER NOT NULL,
  PRIMARY KEY (message_id, conversation_id)
) WITHOUT ROWID;

-- Outlook's Thread-Index, first 22 octets.
CREATE TABLE thread_roots (
  root            BLOB NOT NULL,
  conversation_id INTEGER NOT NULL,
  PRIMARY KEY (root, conversation_id)
) WITHOUT ROWID;

CREATE TABLE participants (
  ticket_id INTEGER NOT NULL REFERENCES tickets (id),
  address   TEXT NOT NULL,
  PRIMARY KEY (ticket_id, address)
) WITHOUT ROWID;

-- What happened, to what, by whom, why. Trace, history, board and audit read this. No foreign keys: it outlives its subjects.
CREATE TABLE changes (
  id          INTEGER PRIMARY KEY,
  at          INTEGER NOT NULL,
  what        TEXT NOT NULL,
  who         TEXT NOT NULL,
  message     INTEGER,
  ticket_id   INTEGER,
  delivery_id INTEGER,
  why         TEXT NOT NULL
);
CREATE INDEX changes_by_message ON changes (message) WHERE message IS NOT NULL;
CREATE INDEX changes_by_ticket ON changes (ticket_id) WHERE ticket_id IS NOT NULL;

-- The builtin CRM.
CREATE TABLE companies (
  id         INTEGER PRIMARY KEY AUTOINCREMENT,
  name       TEXT NOT NULL,
  name_key   TEXT NOT NULL,
  created_at INTEGER NOT NULL
);
CREATE INDEX companies_by_name ON companies (name_key);

CREATE TABLE company_domains (
  domain     TEXT NOT NULL,
  company_id INTEGER NOT NULL REFERENCES companies (id) ON DELETE CASCADE,
  PRIMARY KEY (domain, company_id)
) WITHOUT ROWID;
CREATE INDEX company_domains_by_company ON company_domains (company_id);

CREATE TABLE contacts (
  address    TEXT PRIMARY KEY,
  company_id INTEGER NOT NULL REFERENCES companies (id) ON DELETE CASCADE,
  name       TEXT NOT NULL,
  language   TEXT NOT NULL,
  details    TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX contacts_by_company ON contacts (company_id);

CREATE TABLE deals (
  id         INTEGER PRIMARY KEY AUTOINCREMENT,
  company_id INTEGER NOT NULL REFERENCES companies (id) ON DELETE CASCADE,
  name       TEXT NOT NULL,
  name_key   TEXT NOT NULL,
  state      TEXT NOT NULL,
  moved_at   INTEGER NOT NULL,
  created_at INTEGER NOT NULL
);
CREATE INDEX deals_by_company ON deals (company_id);
CREATE INDEX deals_by_name ON deals (name_key);

CREATE TABLE deal_owners (
  deal_id     INTEGER NOT NULL REFERENCES deals (id) ON DELETE CASCADE,
  place       INTEGER NOT NULL CHECK (place BETWEEN 1 AND 4),
  address     TEXT NOT NULL,
  address_key TEXT NOT NULL,
  PRIMARY KEY (deal_id, place)
) WITHOUT ROWID;

-- People who are away; until NULL means until told otherwise.
CREATE TABLE absences (
  address TEXT PRIMARY KEY,
  until   INTEGER,
  since   INTEGER NOT NULL,
  who     TEXT NOT NULL
) WITHOUT ROWID;

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
