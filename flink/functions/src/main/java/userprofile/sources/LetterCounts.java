package userprofile.sources;

import java.util.HashMap;
import java.util.Map;
import org.apache.flink.metrics.Counter;
import org.apache.flink.metrics.MetricGroup;

/**
 * Flink's counters of dead letters, by topic, error and path in the contract: `dead_letters` in the operator's groups. A path
 * is one of the contract, so there are as many as it has. One per thread.
 */
final class LetterCounts {
    private final MetricGroup group;
    private final Map<String, Counter> counters = new HashMap<>();

    LetterCounts(MetricGroup group) {
        this.group = group;
    }

    /** Counts a record of a source that was removed. */
    void passedOver(String topic) {
        counters.computeIfAbsent(topic, unused -> group.addGroup("topic", topic).counter("records_without_contract")).inc();
    }

    /** `path`: empty or null where nothing of the record is named. */
    void add(String topic, String error, String path) {
        String place = path == null || path.isEmpty() ? "-" : path;
        counters.computeIfAbsent(topic + "\t" + error + "\t" + place, unused -> group.addGroup("topic", topic)
            .addGroup("error", error).addGroup("path", place).counter("dead_letters")).inc();
    }
}
