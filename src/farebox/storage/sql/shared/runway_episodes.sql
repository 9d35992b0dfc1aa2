-- Thresholds in days left: the days are columns of their merchant, and those that its money is near have a row each.

-- set_runway_thresholds: change the days left that a merchant is warned below
UPDATE merchant SET runway_thresholds = $2 WHERE merchant_id = $1 RETURNING merchant_id;

-- forget_runway_snapshot: have a merchant's runway worked out anew at the next walk
UPDATE outlook SET computed_at = 0 WHERE merchant_id = $1;

-- runway_episodes: list the thresholds that a merchant's money is near
SELECT {runway_episode} FROM runway_episode WHERE merchant_id = $1 ORDER BY days;

-- delete_runway_episodes: forget what is known of a merchant's thresholds
DELETE FROM runway_episode WHERE merchant_id = $1;

-- delete_runway_episodes_but: forget what is known of thresholds that are none any more
DELETE FROM runway_episode WHERE merchant_id = $1 AND NOT days {in $2};

-- insert_runway_episode: write what is known of a threshold that the money is near
INSERT INTO runway_episode ({runway_episode.stored}) VALUES ({runway_episode.values});
