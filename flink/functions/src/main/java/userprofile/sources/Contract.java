package userprofile.sources;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** What an event of one source topic may look like, and which of its parts are left out where they are wrong. */
final class Contract {
    private static final int MAX_PARTS = 16;

    private final Check check;
    private final Forms forms;

    Contract(Node schema, Forms forms) {
        this.check = Check.compile(schema, schema);
        this.forms = forms;
    }

    /**
     * Checks an event, and takes the wrong ones of its optional parts out of it. Returns the faults; one without a part
     * means that the event can't be used, and is the only one then.
     */
    List<Fault> apply(Node event, long arrivalMs) {
        Check.Run run = new Check.Run(forms, arrivalMs);
        check.check(event, run, -1, false);
        if (run.found.isEmpty()) {
            return List.of();
        }
        Map<String, Fault> parts = new LinkedHashMap<>();
        for (Check.Found found : run.found) {
            if (found.removable() < 0) {
                return List.of(new Fault(inWords(found.path(), found.path().length), found.reason(), null));
            }
            String part = inWords(found.path(), found.removable());
            parts.putIfAbsent(part, new Fault(inWords(found.path(), found.path().length), found.reason(), part));
        }
        Fault first = parts.values().iterator().next();
        if (parts.size() > MAX_PARTS) {
            String reason = first.reason() + " (one of more than " + MAX_PARTS + " parts that are wrong)";
            return List.of(new Fault(first.path(), reason, null));
        }
        for (Check.Found found : run.found) {
            event.remove(java.util.Arrays.copyOf(found.path(), found.removable()), 0);
        }
        Check.Run again = new Check.Run(forms, arrivalMs);
        check.check(event, again, -1, false);
        return again.found.isEmpty() ? new ArrayList<>(parts.values()) : List.of(new Fault(first.path(), first.reason(), null));
    }

    private static String inWords(Object[] path, int length) {
        StringBuilder out = new StringBuilder();
        for (int i = 0; i < length; i++) {
            if (path[i] instanceof Integer index) {
                out.append('[').append(index).append(']');
            } else {
                out.append(i == 0 ? "" : ".").append(path[i]);
            }
        }
        return out.toString();
    }
}
