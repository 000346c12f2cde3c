package userprofile.sources;

import java.io.BufferedReader;
import java.io.BufferedWriter;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.OutputStreamWriter;
import java.nio.charset.StandardCharsets;
import java.util.Base64;

/**
 * The normal forms of stored values, as today's functions write them: `python -m app sources repair` runs this.
 *
 * A line of the input is a format and a value as JSON in Base64, with a tab in between; its line of the output is the value
 * in its normal form, or empty where it is none of its format. Of a list each item has the format.
 */
public final class NormalForms {
    private NormalForms() {
    }

    /** Arguments: the default country of phone numbers. */
    public static void main(String[] arguments) throws IOException {
        Forms forms = new Forms(arguments.length > 0 ? arguments[0] : "");
        StrictReader reader = new StrictReader();
        try (BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.US_ASCII));
            BufferedWriter out = new BufferedWriter(new OutputStreamWriter(System.out, StandardCharsets.UTF_8))) {
            for (String line = in.readLine(); line != null; line = in.readLine()) {
                int tab = line.indexOf('\t');
                byte[] value = Base64.getDecoder().decode(line.substring(tab + 1));
                out.write(of(line.substring(0, tab), value, reader, forms));
                out.newLine();
            }
        }
    }

    static String of(String format, byte[] value, StrictReader reader, Forms forms) {
        byte[] wrapped = ("{\"v\":" + new String(value, StandardCharsets.UTF_8) + "}").getBytes(StandardCharsets.UTF_8);
        Node stored;
        try {
            stored = reader.read(wrapped).get("v");
        } catch (Refused refused) {
            return "";
        }
        if (stored.kind != Node.Kind.ARRAY) {
            return one(format, stored, forms) ? stored.json() : "";
        }
        for (int i = 0; i < stored.size; i++) {
            if (!one(format, stored.items[i], forms)) {
                return "";
            }
        }
        return stored.json();
    }

    /** Gives the value its normal form; false where it is none of the format, or blank. */
    private static boolean one(String format, Node stored, Forms forms) {
        if (format.equals("tax-id")) {
            stored.normal = stored.kind == Node.Kind.OBJECT ? forms.of(format, asSent(stored)) : null;
        } else {
            stored.normal = stored.kind == Node.Kind.STRING ? forms.of(format, stored) : null;
        }
        stored.form = Forms.kindOf(format);
        return stored.normal != null && !stored.normal.isEmpty();
    }

    /** A document as systems send it; it is stored under other names. */
    private static Node asSent(Node document) {
        Node sent = new Node(Node.Kind.OBJECT, null);
        for (String[] names : new String[][] {{"type", "kind"}, {"number", "value"}}) {
            Node found = document.get(names[0]);
            if (found != null) {
                sent.add(names[1], found);
            }
        }
        return sent;
    }
}
