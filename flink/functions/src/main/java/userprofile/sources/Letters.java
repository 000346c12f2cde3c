package userprofile.sources;

import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.Map;

/** Dead letters, with the headers that the service's own have (docs/events.md). */
final class Letters {
    static final String WHOLE = "malformed-source";
    static final String PART = "malformed-part-source";

    private Letters() {
    }

    /** The key of a letter: the place of its record, and the part where it is of one alone. */
    static String key(String topic, int partition, long offset, String part) {
        String place = topic + "/" + partition + "/" + offset;
        return part == null ? place : place + "/" + part;
    }

    static String error(Fault fault) {
        return fault.part() == null ? WHOLE : PART;
    }

    /** The headers of the letter of a fault. */
    static Map<String, byte[]> headers(
        String topic, int partition, long offset, long timestampMs, byte[] key, boolean tombstone, Fault fault) {
        Map<String, byte[]> out =
            headers(topic, partition, offset, timestampMs, key, error(fault), fault.place(), fault.inWords());
        if (tombstone) {
            out.put("dlq.tombstone", bytes("true"));
        }
        if (fault.part() != null) {
            out.put("dlq.part", bytes(fault.part()));
        }
        return out;
    }

    /** The headers that every letter has; `path` is empty where nothing of the record is named. */
    static Map<String, byte[]> headers(
        String topic, int partition, long offset, long timestampMs, byte[] key, String error, String path, String reason) {
        Map<String, byte[]> out = new LinkedHashMap<>();
        out.put("dlq.topic", bytes(topic));
        out.put("dlq.partition", bytes(Integer.toString(partition)));
        out.put("dlq.offset", bytes(Long.toString(offset)));
        out.put("dlq.timestamp", bytes(Long.toString(timestampMs)));
        out.put("dlq.error", bytes(error));
        out.put("dlq.reason", bytes(reason));
        if (!path.isEmpty()) {
            out.put("dlq.path", bytes(path));
        }
        if (key != null) {
            out.put("dlq.key", key);
        }
        return out;
    }

    static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }
}
