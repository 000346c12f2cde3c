package userprofile.sources;

import java.io.BufferedReader;
import java.io.BufferedWriter;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.OutputStreamWriter;
import java.nio.charset.StandardCharsets;
import java.util.Base64;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * What would become of events, without Kafka or Flink: `python -m app sources check` runs this.
 *
 * A line of the input is topic, milliseconds of arrival, value in Base64, with tabs in between; its line of the output is
 * {"id", "faults": [{"path", "part", "reason", "place"}], "records": [{"topic", "key", "timestamp", "body"}],
 * "columns": {name: value}}; id is null for what is refused.
 */
public final class ReadEvents {
    private ReadEvents() {
    }

    /** Arguments: the default country of phone numbers. */
    public static void main(String[] arguments) throws IOException {
        Forms forms = new Forms(arguments.length > 0 ? arguments[0] : "");
        Map<String, Source> sources = new HashMap<>();
        try (BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.US_ASCII));
            BufferedWriter out = new BufferedWriter(new OutputStreamWriter(System.out, StandardCharsets.UTF_8))) {
            for (String line = in.readLine(); line != null; line = in.readLine()) {
                String[] parts = line.split("\t", -1);
                Source source = sources.computeIfAbsent(parts[0], topic -> new Source(topic, forms));
                out.write(answer(source, Base64.getDecoder().decode(parts[2]), Long.parseLong(parts[1])));
                out.newLine();
            }
        }
    }

    private static String answer(Source source, byte[] value, long arrivalMs) {
        Source.Reading reading = source.read(value, arrivalMs, true);
        StringBuilder out = new StringBuilder("{\"id\":").append(quoted(reading.eventId())).append(",\"faults\":[");
        String comma = "";
        for (Fault fault : reading.faults()) {
            out.append(comma).append("{\"path\":").append(quoted(fault.path())).append(",\"part\":").append(quoted(fault.part()));
            out.append(",\"reason\":").append(quoted(fault.inWords())).append(",\"place\":").append(quoted(fault.place())).append('}');
            comma = ",";
        }
        out.append("],\"records\":[");
        comma = "";
        for (Mapping.Written record : reading.records()) {
            out.append(comma).append("{\"topic\":").append(quoted(record.topic())).append(",\"key\":").append(quoted(record.key()));
            out.append(",\"timestamp\":").append(record.timestampMs()).append(",\"body\":").append(quoted(record.body())).append('}');
            comma = ",";
        }
        out.append("],\"columns\":{");
        comma = "";
        for (Mapping.Column column : reading.event() == null ? List.<Mapping.Column>of() : source.mapping.columns) {
            Node found = column.path().find(reading.event(), null);
            out.append(comma).append(quoted(column.name())).append(':').append(found == null ? "null" : found.json());
            comma = ",";
        }
        return out.append("}}").toString();
    }

    private static String quoted(String text) {
        return text == null ? "null" : Text.quoted(text);
    }
}
