package userprofile.sources;

import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.flink.table.annotation.DataTypeHint;
import org.apache.flink.table.annotation.FunctionHint;
import org.apache.flink.table.data.GenericArrayData;
import org.apache.flink.table.data.GenericMapData;
import org.apache.flink.table.data.GenericRowData;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.data.TimestampData;
import org.apache.flink.table.functions.FunctionContext;
import org.apache.flink.table.functions.TableFunction;

/**
 * source_event(prefix, topic, partition, offset, arrived, key, value, region): the records that are to be written for a
 * record of a source topic.
 *
 * One row with the normalised records under the identity of the event, by which its duplicates are found; one for each dead
 * letter under an identity of its own. `region`: the country of phone numbers that do not say theirs.
 *
 * A topic without a contract is one of a source that was removed: the state of the job still names its partitions, so it is
 * read until it is deleted. Its records are passed over, and counted; they stay in their topic.
 */
@FunctionHint(
    input = {
        @DataTypeHint("STRING"), @DataTypeHint("STRING"), @DataTypeHint("INT"), @DataTypeHint("BIGINT"),
        @DataTypeHint(value = "TIMESTAMP_LTZ(3)", bridgedTo = TimestampData.class), @DataTypeHint("BYTES"),
        @DataTypeHint("BYTES"), @DataTypeHint("STRING")},
    output = @DataTypeHint(value = SourceEvent.ROW, bridgedTo = RowData.class))
public final class SourceEvent extends TableFunction<RowData> {
    static final String ROW = "ROW<event_identity STRING, outputs ARRAY<ROW<topic STRING, record_key STRING, body BYTES, "
        + "headers MAP<STRING, BYTES>, event_time TIMESTAMP_LTZ(3)>>>";
    private static final long serialVersionUID = 1L;

    private transient Map<String, Source> sources;
    private transient Set<String> removed;
    private transient Forms forms;
    private transient LetterCounts counts;

    @Override
    public void open(FunctionContext context) {
        sources = new HashMap<>();
        removed = new HashSet<>();
        forms = null;
        counts = new LetterCounts(context.getMetricGroup());
    }

    /** Emits the rows of one record; null for `value` is a tombstone. */
    public void eval(
        String prefix, String topic, Integer partition, Long offset, TimestampData arrived, byte[] key, byte[] value, String region) {
        if (forms == null) {
            forms = new Forms(region);
        }
        Source source = sources.get(topic);
        if (source == null) {
            String name = topic.substring(prefix.length());
            if (removed.contains(topic) || !Source.hasContract(name)) {
                removed.add(topic);
                counts.passedOver(topic);
                return;
            }
            source = new Source(name, forms);
            sources.put(topic, source);
        }
        Source.Reading reading = source.read(value, arrived.getMillisecond(), true);
        for (Fault fault : reading.faults()) {
            letter(topic, partition, offset, arrived, key, value, fault);
        }
        List<Mapping.Written> records = reading.records();
        if (records.isEmpty()) {
            return;
        }
        Object[] outputs = new Object[records.size()];
        TimestampData time = TimestampData.fromEpochMillis(records.get(0).timestampMs());
        for (int i = 0; i < outputs.length; i++) {
            Mapping.Written record = records.get(i);
            outputs[i] = GenericRowData.of(StringData.fromString(prefix + record.topic()), StringData.fromString(record.key()),
                record.body().getBytes(StandardCharsets.UTF_8), null, time);
        }
        collect(GenericRowData.of(StringData.fromString(topic + "/" + reading.identity()), new GenericArrayData(outputs)));
    }

    private void letter(
        String topic, int partition, long offset, TimestampData arrived, byte[] key, byte[] value, Fault fault) {
        counts.add(topic, Letters.error(fault), fault.place());
        String place = Letters.key(topic, partition, offset, fault.part());
        Map<String, byte[]> headers =
            Letters.headers(topic, partition, offset, arrived.getMillisecond(), key, value == null, fault);
        RowData output = GenericRowData.of(StringData.fromString(topic + ".dlq"), StringData.fromString(place),
            value == null ? new byte[0] : value, mapOf(headers), arrived);
        collect(GenericRowData.of(StringData.fromString("letter/" + place), new GenericArrayData(new Object[] {output})));
    }

    static GenericMapData mapOf(Map<String, byte[]> headers) {
        Map<StringData, byte[]> out = new HashMap<>();
        headers.forEach((name, content) -> out.put(StringData.fromString(name), content));
        return new GenericMapData(out);
    }
}
