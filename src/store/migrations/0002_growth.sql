-- Peak memory of stages, and scores that can be asked for in a database that has grown.

-- Largest resident set of the process while it executed the stage; NULL where it was not measured.
ALTER TABLE stages ADD COLUMN peak_bytes INTEGER;

DROP VIEW stage_costs;
CREATE VIEW stage_costs AS
SELECT s.key AS stage, s.kind, s.label, s.status, s.seconds, s.attempts AS executions,
       (SELECT count(DISTINCT run) FROM run_stages u WHERE u.stage = s.id) AS runs,
       s.started, s.ended, s.peak_bytes
FROM stages s;

-- The means were taken over all scores of the database before a condition on experiment, stage or
-- metric was looked at: three million rows for a question about one experiment. Written as
-- subqueries over the range of the table's key that a stage, a metric and a grader have, only what
-- is asked for is read; asking for everything costs a sixth (`run_scores`) to a half (`stage_scores`) more. The order of the
-- sum, and so its last digit, is the key's as it was.
DROP VIEW run_scores;
DROP VIEW stage_scores;

CREATE VIEW stage_scores AS
SELECT t.key AS stage, t.kind, t.label, m.name AS metric, m.version AS metric_version,
       g.name AS grader, g.version AS grader_version,
       (SELECT count(*) FROM scores s
        WHERE s.stage = t.id AND s.metric = m.id AND s.grader = g.id) AS problems,
       (SELECT avg(s.value) FROM scores s
        WHERE s.stage = t.id AND s.metric = m.id AND s.grader = g.id) AS mean
FROM stages t, metrics m, graders g
-- A stage that was not graded has no scores; saying so spares the look-up for most stages.
WHERE t.grader IS NOT NULL
  AND EXISTS (SELECT 1 FROM scores s WHERE s.stage = t.id AND s.metric = m.id AND s.grader = g.id);

CREATE VIEW run_scores AS
SELECT c.experiment, c.run, c.label, c.seed, c.position, c.checkpoint,
       s.metric, s.metric_version, s.grader, s.grader_version, s.problems, s.mean
FROM stage_scores s
JOIN run_checkpoints c ON c.evaluation = s.stage;
