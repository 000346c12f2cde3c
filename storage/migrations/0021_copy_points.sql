-- no-transaction
-- Workers write and read meanwhile. It copies some 10,000 points a second, which take as much room again on disk, and
-- goes on where it was after an interruption.
CALL copy_points(at_once => 5000, patience => '5 min');
