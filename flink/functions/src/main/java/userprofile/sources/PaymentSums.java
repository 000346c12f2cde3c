package userprofile.sources;

import java.nio.charset.StandardCharsets;
import java.time.LocalDate;
import org.apache.flink.table.annotation.ArgumentHint;
import org.apache.flink.table.annotation.ArgumentTrait;
import org.apache.flink.table.annotation.DataTypeHint;
import org.apache.flink.table.annotation.FunctionHint;
import org.apache.flink.table.annotation.StateHint;
import org.apache.flink.table.data.GenericRowData;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.data.TimestampData;
import org.apache.flink.table.functions.ProcessTableFunction;

/**
 * payment_sums(payments => TABLE … PARTITION BY (customer_id, payment_year), revision => …): of each payment three records
 * of temporal-data, with the sums of its day, its month and its year up to it.
 *
 * property_version is the revision × 10^12 + the number of payments that were summed; event_time the latest time of them.
 */
@FunctionHint(output = @DataTypeHint(
    value = "ROW<record_key STRING, body BYTES, event_time TIMESTAMP_LTZ(3)>", bridgedTo = RowData.class))
public final class PaymentSums extends ProcessTableFunction<RowData> {
    private static final long serialVersionUID = 1L;
    private static final long REVISION = 1_000_000_000_000L;
    private static final int MILLISECONDS = 3;
    private static final long MS_A_DAY = 86_400_000;

    /** What is remembered of a customer's year. */
    public static final class Year {
        /** As YearOfSums packs them. */
        public byte[] sums;
    }

    /** Emits three rows for each payment. */
    public void eval(
        @StateHint Year year,
        @ArgumentHint(
            value = ArgumentTrait.SET_SEMANTIC_TABLE,
            name = "payments",
            type = @DataTypeHint(
                value = "ROW<customer_id STRING, payment_year BIGINT, amount_cents BIGINT, quantity BIGINT, "
                    + "occurred_at TIMESTAMP(3), arrived TIMESTAMP_LTZ(3)>",
                bridgedTo = RowData.class))
        RowData payment,
        @ArgumentHint(name = "revision") Integer revision) {
        String customer = payment.getString(0).toString();
        long occurredMs = payment.getTimestamp(4, MILLISECONDS).getMillisecond();
        long timeMs = Math.min(occurredMs, payment.getTimestamp(5, MILLISECONDS).getMillisecond());
        YearOfSums sums = new YearOfSums(year.sums);
        LocalDate day = LocalDate.ofEpochDay(Math.floorDiv(occurredMs, MS_A_DAY));
        StringData key = StringData.fromString("user:" + customer);
        for (YearOfSums.Sum sum : sums.add(day, payment.getLong(2), payment.getLong(3), timeMs)) {
            byte[] body = body(customer, sum, revision * REVISION + sum.count()).getBytes(StandardCharsets.UTF_8);
            collect(GenericRowData.of(key, body, TimestampData.fromEpochMillis(sum.latestMs())));
        }
        year.sums = sums.packed();
    }

    private static String body(String customer, YearOfSums.Sum sum, long version) {
        StringBuilder out = new StringBuilder(320).append("{\"entity_reference\":");
        Text.quote(customer, out);
        out.append(",\"entity_type\":\"user\",\"property_granularity\":\"").append(sum.granularity());
        out.append("\",\"property_reference_date\":\"").append(sum.last()).append("T23:59:59.999999Z\"");
        out.append(",\"property_type\":\"payments\",\"property_value\":{\"amount_cents\":").append(sum.cents());
        out.append(",\"quantity\":").append(sum.quantity()).append(",\"transaction_count\":").append(sum.count());
        return out.append("},\"property_version\":").append(version).append('}').toString();
    }
}
