-- The run database of rise-lab.
--
-- VIEWS
--   Views show names (keys, labels, problem ids). Start with them:
--
--   run_axes         one row per run and axis: the axis and the run's value on it
--   run_checkpoints  one row per run and evaluated checkpoint: `base`, `round 1`, ...
--   run_scores       mean of every metric for every run and checkpoint, over its problems
--   grader_scores    the same under every grader; `own` marks the grader of the stage
--   stage_scores     the same by evaluation stage, shared ones once
--   problem_scores   the scores before averaging: one row per problem
--   attempts         every sampled text, with the grade of its stage's grader
--   attempt_grades   every grade of every text, by grader
--   problem_texts    questions and reference answers, by the stage that prepared them
--   stage_costs      seconds, peak memory, executions, and how many runs share each stage
--   stage_counts     counts of each stage (tokens, teacher calls, ...), one row each
--   curves           training curves and other series
--   files            the files of each stage, with SHA-256 and size
--
--   Example: the runs with the best sequential accuracy after the last round.
--     SELECT label, checkpoint, mean FROM run_scores
--     WHERE experiment = 'quickstart' AND metric = 'm1@t5' ORDER BY mean DESC;
--
--   Example: the same texts under every grader.
--     SELECT label, checkpoint, grader, mean FROM grader_scores
--     WHERE experiment = 'quickstart' AND metric = 'm1@t5';
--
--   `attempts`, `problem_scores`, `stage_scores` and `run_scores` show the grader of the stage only,
--   so a second grader does not count the same texts twice.
--
-- LAYOUT
--   experiments < runs < run_stages, checkpoints             plans
--   stages < artifacts, points                               executions, shared between runs
--   stages < problems                                        problems of a prepare stage
--   stages < episodes < candidates < grades                  sampled texts and their grades
--   stages < unread, episodes < reviews                      further graders, critiques
--   stages < scores                                          scores by problem
--   graders, metrics, problem_names                          names, stored once and referred to by id
--
--   Numeric ids depend on the order of insertion and never leave this file. Keys do.
--
-- CHANGES
--   A stage whose status is `done`, and every row that belongs to it, never changes (triggers below).
--   A new grader or metric version adds rows.

CREATE TABLE experiments (
    name     TEXT PRIMARY KEY,
    question TEXT NOT NULL,
    toml     TEXT NOT NULL,             -- the file of the last run
    report   TEXT NOT NULL              -- JSON: baseline, families, tables
) STRICT;

CREATE TABLE runs (
    id         INTEGER PRIMARY KEY,
    experiment TEXT NOT NULL REFERENCES experiments (name) ON DELETE CASCADE,
    key        TEXT NOT NULL,           -- SHA-256 of the run's specification
    position   INTEGER NOT NULL,        -- in the expansion of the experiment, from 0
    label      TEXT NOT NULL,
    seed       INTEGER NOT NULL,
    axes       TEXT NOT NULL,           -- JSON: [["axis path", "value label"], ...]
    spec       TEXT NOT NULL,           -- JSON: the whole specification
    status     TEXT NOT NULL CHECK (status IN ('queued', 'running', 'done', 'failed', 'interrupted')),
    error      TEXT,
    UNIQUE (experiment, key)
) STRICT;

CREATE TABLE graders (
    id      INTEGER PRIMARY KEY,
    name    TEXT NOT NULL,
    version INTEGER NOT NULL,
    UNIQUE (name, version)
) STRICT;

CREATE TABLE stages (
    id       INTEGER PRIMARY KEY,
    key      TEXT NOT NULL UNIQUE,      -- SHA-256 of its specification and inputs
    kind     TEXT NOT NULL,
    label    TEXT NOT NULL,
    status   TEXT NOT NULL CHECK (status IN ('queued', 'running', 'done', 'failed', 'interrupted')),
    inputs   TEXT NOT NULL,             -- JSON: keys of the stages it reads
    seconds  REAL,                      -- wall-clock time of the successful execution
    counts   TEXT NOT NULL DEFAULT '{}', -- JSON: counts by name
    origin   TEXT NOT NULL DEFAULT '{}', -- JSON: backend, instruction set, program version
    grader   INTEGER REFERENCES graders (id), -- the grader that the stage used
    error    TEXT,
    attempts INTEGER NOT NULL DEFAULT 0, -- number of executions
    started  TEXT,                      -- UTC; never part of a result
    ended    TEXT,
    peak_bytes INTEGER                  -- largest resident set of the process; NULL: not measured
) STRICT;

CREATE TABLE run_stages (
    run      INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    stage    INTEGER NOT NULL REFERENCES stages (id),
    PRIMARY KEY (run, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX run_stages_by_stage ON run_stages (stage);

CREATE TABLE checkpoints (
    run        INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    position   INTEGER NOT NULL,
    name       TEXT NOT NULL,
    weights    INTEGER NOT NULL REFERENCES stages (id),
    evaluation INTEGER NOT NULL REFERENCES stages (id),
    PRIMARY KEY (run, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX checkpoints_by_evaluation ON checkpoints (evaluation);
CREATE INDEX checkpoints_by_weights ON checkpoints (weights);

CREATE TABLE artifacts (
    stage  INTEGER NOT NULL REFERENCES stages (id) ON DELETE CASCADE,
    name   TEXT NOT NULL,               -- file name inside the stage's folder
    sha256 TEXT NOT NULL,
    bytes  INTEGER NOT NULL,
    PRIMARY KEY (stage, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE problem_names (
    id   INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE problems (
    stage    INTEGER NOT NULL REFERENCES stages (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    problem  INTEGER NOT NULL REFERENCES problem_names (id),
    split    TEXT NOT NULL CHECK (split IN ('corpus', 'train', 'validation', 'test')),
    question TEXT NOT NULL,
    answer   TEXT NOT NULL,
    solution TEXT,
    PRIMARY KEY (stage, position),
    UNIQUE (stage, problem)
) STRICT;

CREATE TABLE episodes (
    id      INTEGER PRIMARY KEY,
    stage   INTEGER NOT NULL REFERENCES stages (id) ON DELETE CASCADE,
    problem INTEGER NOT NULL REFERENCES problem_names (id),
    sample  INTEGER NOT NULL,           -- 0: the sequential log; 1..: parallel first turns
    turns   INTEGER NOT NULL,
    UNIQUE (stage, problem, sample)
) STRICT;

CREATE TABLE candidates (
    id        INTEGER PRIMARY KEY,
    episode   INTEGER NOT NULL REFERENCES episodes (id) ON DELETE CASCADE,
    turn      INTEGER NOT NULL,         -- from 0
    candidate INTEGER NOT NULL,         -- in the order drawn, from 0
    author    TEXT NOT NULL CHECK (author IN ('policy', 'other', 'teacher')),
    text      TEXT NOT NULL,
    tokens    INTEGER NOT NULL,         -- sampled, the end token included
    finished  INTEGER NOT NULL CHECK (finished IN (0, 1)),
    chosen    INTEGER NOT NULL CHECK (chosen IN (0, 1)), -- carried into the next turn
    prompt    INTEGER NOT NULL,         -- tokens of the dialogue it answers; 0: not sampled
    UNIQUE (episode, turn, candidate)
) STRICT;

CREATE TABLE grades (
    candidate INTEGER NOT NULL REFERENCES candidates (id) ON DELETE CASCADE,
    grader    INTEGER NOT NULL REFERENCES graders (id),
    answer    TEXT,                     -- in canonical form
    verdict   TEXT NOT NULL CHECK (verdict IN ('unreadable', 'wrong', 'right')),
    PRIMARY KEY (candidate, grader)
) STRICT, WITHOUT ROWID;

-- Graders that read no answer in any text of a stage: one row here replaces an `unreadable` grade
-- for each of its texts.
CREATE TABLE unread (
    stage    INTEGER NOT NULL REFERENCES stages (id) ON DELETE CASCADE,
    grader   INTEGER NOT NULL REFERENCES graders (id),
    attempts INTEGER NOT NULL,          -- texts that the grader read
    PRIMARY KEY (stage, grader)
) STRICT, WITHOUT ROWID;

-- A critique or a verification of the chosen candidate of a turn.
CREATE TABLE reviews (
    episode  INTEGER NOT NULL REFERENCES episodes (id) ON DELETE CASCADE,
    turn     INTEGER NOT NULL,
    text     TEXT NOT NULL,
    tokens   INTEGER NOT NULL,          -- sampled, the end token included
    prompt   INTEGER NOT NULL,          -- tokens of the dialogue it answers
    approves INTEGER,                   -- 1: says right, 0: says wrong, NULL: says neither
    PRIMARY KEY (episode, turn)
) STRICT, WITHOUT ROWID;

CREATE TABLE points (
    stage  INTEGER NOT NULL REFERENCES stages (id) ON DELETE CASCADE,
    series TEXT NOT NULL,
    step   INTEGER NOT NULL,
    value  REAL,                        -- NULL: not a number, such as a diverged loss
    PRIMARY KEY (stage, series, step)
) STRICT, WITHOUT ROWID;

CREATE TABLE metrics (
    id               INTEGER PRIMARY KEY,
    name             TEXT NOT NULL,
    version          INTEGER NOT NULL,  -- raised when the meaning changes
    unit             TEXT NOT NULL,
    higher_is_better INTEGER CHECK (higher_is_better IN (0, 1)), -- NULL: neither
    meaning          TEXT NOT NULL,
    UNIQUE (name, version)
) STRICT;

CREATE TABLE scores (
    stage   INTEGER NOT NULL REFERENCES stages (id) ON DELETE CASCADE,
    metric  INTEGER NOT NULL REFERENCES metrics (id),
    grader  INTEGER NOT NULL REFERENCES graders (id),
    problem INTEGER NOT NULL REFERENCES problem_names (id),
    value   REAL NOT NULL,
    PRIMARY KEY (stage, metric, grader, problem)
) STRICT, WITHOUT ROWID;

-- A finished stage stays as it is, also when another program opens the file.

CREATE TRIGGER done_stages_stay BEFORE UPDATE ON stages WHEN OLD.status = 'done'
BEGIN SELECT RAISE(ABORT, 'a finished stage cannot change'); END;

CREATE TRIGGER texts_stay BEFORE UPDATE ON candidates
BEGIN SELECT RAISE(ABORT, 'a stored text cannot change'); END;

CREATE TRIGGER grades_stay BEFORE UPDATE ON grades
BEGIN SELECT RAISE(ABORT, 'a stored grade cannot change; add one of a newer version'); END;

CREATE TRIGGER unread_stays BEFORE UPDATE ON unread
BEGIN SELECT RAISE(ABORT, 'a stored grade cannot change; add one of a newer version'); END;

CREATE TRIGGER reviews_stay BEFORE UPDATE ON reviews
BEGIN SELECT RAISE(ABORT, 'a stored review cannot change'); END;

CREATE TRIGGER scores_stay BEFORE UPDATE ON scores
BEGIN SELECT RAISE(ABORT, 'a stored score cannot change; add one of a newer version'); END;

CREATE TRIGGER problems_stay BEFORE UPDATE ON problems
BEGIN SELECT RAISE(ABORT, 'a stored problem cannot change'); END;

CREATE TRIGGER files_stay BEFORE UPDATE ON artifacts
BEGIN SELECT RAISE(ABORT, 'a recorded file cannot change'); END;

CREATE TRIGGER curves_stay BEFORE UPDATE ON points
WHEN (SELECT status FROM stages WHERE id = OLD.stage) = 'done'
BEGIN SELECT RAISE(ABORT, 'a finished curve cannot change'); END;

-- The views for people.

CREATE VIEW run_axes AS
SELECT r.experiment, r.key AS run, r.label, r.seed, r.status,
       axis.value ->> 0 AS axis, axis.value ->> 1 AS value
FROM runs r, json_each(r.axes) axis;

CREATE VIEW run_checkpoints AS
SELECT r.experiment, r.key AS run, r.label, r.seed, c.position, c.name AS checkpoint,
       w.key AS weights, e.key AS evaluation, e.status
FROM runs r
JOIN checkpoints c ON c.run = r.id
JOIN stages w ON w.id = c.weights
JOIN stages e ON e.id = c.evaluation;

CREATE VIEW problem_scores AS
SELECT r.experiment, r.key AS run, r.label, r.seed, c.position, c.name AS checkpoint,
       m.name AS metric, m.version AS metric_version,
       g.name AS grader, g.version AS grader_version, p.name AS problem, s.value
FROM runs r
JOIN checkpoints c ON c.run = r.id
JOIN stages t ON t.id = c.evaluation
JOIN scores s ON s.stage = t.id AND s.grader = t.grader
JOIN metrics m ON m.id = s.metric
JOIN graders g ON g.id = s.grader
JOIN problem_names p ON p.id = s.problem;

-- The subqueries read only the range of the table's key that a stage, a metric and a grader have.
-- A join with a GROUP BY would average every score of the database before it applies a condition.
CREATE VIEW stage_scores AS
SELECT t.key AS stage, t.kind, t.label, m.name AS metric, m.version AS metric_version,
       g.name AS grader, g.version AS grader_version,
       (SELECT count(*) FROM scores s
        WHERE s.stage = t.id AND s.metric = m.id AND s.grader = g.id) AS problems,
       (SELECT avg(s.value) FROM scores s
        WHERE s.stage = t.id AND s.metric = m.id AND s.grader = g.id) AS mean
FROM stages t
JOIN graders g ON g.id = t.grader
CROSS JOIN metrics m
WHERE EXISTS (SELECT 1 FROM scores s WHERE s.stage = t.id AND s.metric = m.id AND s.grader = g.id);

CREATE VIEW run_scores AS
SELECT c.experiment, c.run, c.label, c.seed, c.position, c.checkpoint,
       s.metric, s.metric_version, s.grader, s.grader_version, s.problems, s.mean
FROM stage_scores s
JOIN run_checkpoints c ON c.evaluation = s.stage;

CREATE VIEW grader_scores AS
SELECT r.experiment, r.key AS run, r.label, r.seed, c.position, c.name AS checkpoint,
       m.name AS metric, m.version AS metric_version,
       g.name AS grader, g.version AS grader_version, g.id = t.grader AS own,
       (SELECT count(*) FROM scores s
        WHERE s.stage = t.id AND s.metric = m.id AND s.grader = g.id) AS problems,
       (SELECT avg(s.value) FROM scores s
        WHERE s.stage = t.id AND s.metric = m.id AND s.grader = g.id) AS mean
FROM runs r
JOIN checkpoints c ON c.run = r.id
JOIN stages t ON t.id = c.evaluation
CROSS JOIN metrics m
CROSS JOIN graders g
WHERE t.grader IS NOT NULL
  AND EXISTS (SELECT 1 FROM scores s WHERE s.stage = t.id AND s.metric = m.id AND s.grader = g.id);

CREATE VIEW attempts AS
SELECT s.key AS stage, s.kind, s.label, p.name AS problem, e.sample, c.turn, c.candidate,
       c.author, c.text, c.tokens, c.prompt, c.finished, c.chosen,
       g.name AS grader, g.version AS grader_version, v.answer, v.verdict,
       r.text AS review, r.approves
FROM stages s
JOIN episodes e ON e.stage = s.id
JOIN problem_names p ON p.id = e.problem
JOIN candidates c ON c.episode = e.id
LEFT JOIN grades v ON v.candidate = c.id AND v.grader = s.grader
LEFT JOIN graders g ON g.id = v.grader
LEFT JOIN reviews r ON r.episode = e.id AND r.turn = c.turn AND c.chosen;

CREATE VIEW attempt_grades AS
SELECT s.key AS stage, s.kind, s.label, p.name AS problem, e.sample, c.turn, c.candidate,
       g.name AS grader, g.version AS grader_version, v.answer, v.verdict
FROM stages s
JOIN episodes e ON e.stage = s.id
JOIN problem_names p ON p.id = e.problem
JOIN candidates c ON c.episode = e.id
JOIN grades v ON v.candidate = c.id
JOIN graders g ON g.id = v.grader
UNION ALL
SELECT s.key, s.kind, s.label, p.name, e.sample, c.turn, c.candidate, g.name, g.version, NULL, 'unreadable'
FROM unread u
JOIN stages s ON s.id = u.stage
JOIN graders g ON g.id = u.grader
JOIN episodes e ON e.stage = s.id
JOIN problem_names p ON p.id = e.problem
JOIN candidates c ON c.episode = e.id;

CREATE VIEW problem_texts AS
SELECT s.key AS stage, q.position, p.name AS problem, q.split, q.question, q.answer, q.solution
FROM stages s
JOIN problems q ON q.stage = s.id
JOIN problem_names p ON p.id = q.problem;

CREATE VIEW stage_costs AS
SELECT s.key AS stage, s.kind, s.label, s.status, s.seconds, s.attempts AS executions,
       (SELECT count(DISTINCT run) FROM run_stages u WHERE u.stage = s.id) AS runs,
       s.started, s.ended, s.peak_bytes
FROM stages s;

CREATE VIEW stage_counts AS
SELECT s.key AS stage, s.kind, s.label, counted.key AS name, counted.value
FROM stages s, json_each(s.counts) counted;

CREATE VIEW curves AS
SELECT s.key AS stage, s.kind, s.label, p.series, p.step, p.value
FROM stages s
JOIN points p ON p.stage = s.id;

CREATE VIEW files AS
SELECT s.key AS stage, s.kind, s.label, a.name, a.sha256, a.bytes
FROM stages s
JOIN artifacts a ON a.stage = s.id;
