package userprofile.sources;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.apache.flink.table.api.DataTypes;
import org.apache.flink.table.catalog.DataTypeFactory;
import org.apache.flink.table.data.GenericRowData;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.data.TimestampData;
import org.apache.flink.table.functions.FunctionContext;
import org.apache.flink.table.functions.ScalarFunction;
import org.apache.flink.table.types.DataType;
import org.apache.flink.table.types.inference.InputTypeStrategies;
import org.apache.flink.table.types.inference.TypeInference;

/**
 * source_columns('topic', arrived, value, region): a row for a record of a source topic.
 *
 * event_id, occurred_at (UTC, to the millisecond) and the columns that the topic's mapping names, in their normal forms; all
 * are null, and refused_at (a path) and refusal (the reason) are set, where the event can't be used. Parts that are
 * left out are null, too; source_event has their letters.
 */
public final class SourceColumns extends ScalarFunction {
    private static final long serialVersionUID = 1L;
    private static final int FIXED = 4;

    private transient Source source;

    @Override
    public TypeInference getTypeInference(DataTypeFactory types) {
        return TypeInference.newBuilder()
            .inputTypeStrategy(InputTypeStrategies.sequence(
                InputTypeStrategies.explicit(DataTypes.STRING().notNull()),
                InputTypeStrategies.explicit(DataTypes.TIMESTAMP_LTZ(3).bridgedTo(TimestampData.class)),
                InputTypeStrategies.explicit(DataTypes.BYTES()),
                InputTypeStrategies.explicit(DataTypes.STRING().notNull())))
            .outputTypeStrategy(call -> call.getArgumentValue(0, String.class).map(SourceColumns::rowOf))
            .build();
    }

    private static DataType rowOf(String topic) {
        List<DataTypes.Field> fields = new ArrayList<>(List.of(
            DataTypes.FIELD("event_id", DataTypes.STRING()), DataTypes.FIELD("occurred_at", DataTypes.TIMESTAMP(3)),
            DataTypes.FIELD("refused_at", DataTypes.STRING()), DataTypes.FIELD("refusal", DataTypes.STRING())));
        for (Mapping.Column column : new Source(topic, new Forms("")).mapping.columns) {
            fields.add(DataTypes.FIELD(column.name(), column.whole() ? DataTypes.BIGINT() : DataTypes.STRING()));
        }
        return DataTypes.ROW(fields.toArray(new DataTypes.Field[0])).bridgedTo(RowData.class);
    }

    /**
     * It is, but what is deterministic the planner repeats for each field that is read of it: a record would be read a dozen
     * times. A table function would do, too, but the planner gives each of its joins another name, so that what several statements
     * read is planned for each of them.
     */
    @Override
    public boolean isDeterministic() {
        return false;
    }

    @Override
    public void open(FunctionContext context) {
        source = null;
    }

    /** The row of one record; null for `value` is a tombstone. */
    public RowData eval(String topic, TimestampData arrived, byte[] value, String region) {
        if (source == null) {
            source = new Source(topic, new Forms(region));
        }
        Source.Reading reading = source.read(value, arrived.getMillisecond(), false);
        List<Mapping.Column> columns = source.mapping.columns;
        GenericRowData row = new GenericRowData(FIXED + columns.size());
        if (reading.event() == null) {
            Fault fault = reading.faults().get(0);
            row.setField(2, StringData.fromString(fault.place()));
            row.setField(3, StringData.fromString(fault.inWords()));
        } else {
            row.setField(0, StringData.fromString(reading.eventId()));
            row.setField(1, TimestampData.fromEpochMillis(Math.floorDiv(reading.occurredMicros(), 1000L)));
            for (int i = 0; i < columns.size(); i++) {
                Node found = columns.get(i).path().find(reading.event(), null);
                if (found != null) {
                    String text = found.normal == null ? found.text : found.normal;
                    row.setField(FIXED + i, columns.get(i).whole() ? (Object) Long.valueOf(text) : StringData.fromString(text));
                }
            }
        }
        return row;
    }
}
