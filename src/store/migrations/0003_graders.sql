-- Several graders beside each other.
--
-- The views `attempts`, `problem_scores`, `stage_scores` and `run_scores` answer under the grader that a
-- stage was made with, so that a second grader's rows do not count the same texts twice. What the
-- others say is in two views of its own:
--
--   attempt_grades   every grade of every text, by grader
--   grader_scores    mean of every metric by run, checkpoint and grader; `own` marks the stage's grader
--
--   Example: the same texts under every grader.
--     SELECT label, checkpoint, grader, mean FROM grader_scores
--     WHERE experiment = 'quickstart' AND metric = 'm1@t5';

-- Graders that read no answer in any text of a stage: each of its grades would be `unreadable`, and
-- they are not written out one by one, nor are scores.
CREATE TABLE unread (
    stage    INTEGER NOT NULL REFERENCES stages (id) ON DELETE CASCADE,
    grader   INTEGER NOT NULL REFERENCES graders (id),
    attempts INTEGER NOT NULL,          -- texts that were looked at
    PRIMARY KEY (stage, grader)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER unread_stays BEFORE UPDATE ON unread
BEGIN SELECT RAISE(ABORT, 'a stored grade cannot change; add one of a newer version'); END;

DROP VIEW attempts;
CREATE VIEW attempts AS
SELECT s.key AS stage, s.kind, s.label, p.name AS problem, e.sample, c.turn, c.candidate,
       c.author, c.text, c.tokens, c.finished, c.chosen,
       g.name AS grader, g.version AS grader_version, v.answer, v.verdict
FROM stages s
JOIN episodes e ON e.stage = s.id
JOIN problem_names p ON p.id = e.problem
JOIN candidates c ON c.episode = e.id
LEFT JOIN grades v ON v.candidate = c.id AND v.grader = s.grader
LEFT JOIN graders g ON g.id = v.grader;

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

DROP VIEW problem_scores;
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

DROP VIEW stage_scores;
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
