package userprofile.sources;

import java.util.Map;
import org.apache.flink.table.annotation.DataTypeHint;
import org.apache.flink.table.data.MapData;
import org.apache.flink.table.data.TimestampData;
import org.apache.flink.table.functions.FunctionContext;
import org.apache.flink.table.functions.ScalarFunction;

/** letter_headers(topic, partition, offset, arrived, key, is_tombstone, error, path, reason): the headers of a dead letter. */
public final class LetterHeaders extends ScalarFunction {
    private static final long serialVersionUID = 1L;

    private transient LetterCounts counts;

    @Override
    public void open(FunctionContext context) {
        counts = new LetterCounts(context.getMetricGroup());
    }

    /** `path` may be null: nothing of the record is named. */
    public @DataTypeHint(value = "MAP<STRING, BYTES>", bridgedTo = MapData.class) MapData eval(
        String topic,
        Integer partition,
        Long offset,
        @DataTypeHint(value = "TIMESTAMP_LTZ(3)", bridgedTo = TimestampData.class) TimestampData arrived,
        byte[] key,
        Boolean isTombstone,
        String error,
        String path,
        String reason) {
        Map<String, byte[]> headers =
            Letters.headers(topic, partition, offset, arrived.getMillisecond(), key, error, path == null ? "" : path, reason);
        counts.add(topic, error, path);
        if (isTombstone) {
            headers.put("dlq.tombstone", Letters.bytes("true"));
        }
        return SourceEvent.mapOf(headers);
    }
}
