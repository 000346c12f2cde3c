package userprofile.sources;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

/**
 * What is written for an event of one source: `mapping.json` beside its contract, compiled. Paths are names with points in
 * between; one that begins with a point starts at the item of `each`.
 */
final class Mapping {
    /** A record of a normalised topic: its name without a prefix, its key, its JSON, and milliseconds since 1970. */
    record Written(String topic, String key, String body, long timestampMs) {
    }

    /** A column for SQL: a text or a whole number. */
    record Column(String name, Path path, boolean whole) {
    }

    /** What is known of the event while its records are written. */
    private record Context(String eventId, String date, long timestampMs, Node root, List<Written> out) {
    }

    private interface Rule {
        void write(Context context, Node item);
    }

    /** A way to a member, from the event or from an item. */
    record Path(boolean ofItem, String[] steps) {
        static Path of(String text) {
            boolean ofItem = text.startsWith(".");
            return new Path(ofItem, (ofItem ? text.substring(1) : text).split("\\."));
        }

        /** The value there; null where there is none, where it is JSON's null, and where it is blank. */
        Node find(Node root, Node item) {
            Node at = ofItem ? item : root;
            for (String step : steps) {
                at = at == null ? null : at.member(step);
            }
            return at == null || !at.hasContent() ? null : at;
        }
    }

    private record Entity(String type, Path reference) {
        static Entity of(String text) {
            int colon = text.indexOf(':');
            return new Entity(text.substring(0, colon), Path.of(text.substring(colon + 1)));
        }

        String find(Context context, Node item) {
            Node found = reference.find(context.root, item);
            return found == null ? null : found.normal == null ? found.text : found.normal;
        }
    }

    final Path id;
    final Path time;
    final List<Column> columns = new ArrayList<>();
    private final int digits;
    private final List<Rule> rules;

    Mapping(Node text) {
        id = Path.of(required(text, "id").text);
        time = Path.of(required(text, "time").text);
        digits = Integer.parseInt(required(text, "time_digits").text);
        known(text, Set.of("$comment", "id", "time", "time_digits", "columns", "write"));
        Node named = text.get("columns");
        for (int i = 0; named != null && i < named.size; i++) {
            Node column = named.items[i];
            columns.add(new Column(named.names[i], Path.of(required(column, "from").text), required(column, "type").text.equals("BIGINT")));
        }
        rules = rules(text.get("write"));
    }

    /** The records of an event that its contract has passed. */
    List<Written> records(Node event, String eventId, long micros, long timestampMs) {
        List<Written> out = new ArrayList<>();
        Context context = new Context(eventId, Times.text(micros, digits), timestampMs, event, out);
        for (Rule rule : rules) {
            rule.write(context, null);
        }
        return out;
    }

    private static List<Rule> rules(Node list) {
        List<Rule> found = new ArrayList<>();
        for (int i = 0; list != null && i < list.size; i++) {
            found.add(rule(list.items[i]));
        }
        return found;
    }

    private static Rule rule(Node text) {
        Rule rule;
        if (text.get("write") != null) {
            known(text, Set.of("write", "each", "when"));
            List<Rule> inner = rules(text.get("write"));
            rule = (context, item) -> inner.forEach(each -> each.write(context, item));
        } else if (text.get("edge") != null) {
            rule = edge(text);
        } else if (text.get("point") != null) {
            rule = point(text);
        } else {
            rule = property(text);
        }
        return when(text.get("when"), each(text.get("each"), rule));
    }

    private static Rule each(Node path, Rule rule) {
        if (path == null) {
            return rule;
        }
        Path list = Path.of(path.text);
        return (context, item) -> {
            Node found = list.find(context.root, item);
            for (int i = 0; found != null && i < found.size; i++) {
                if (found.items[i] != null) {
                    rule.write(context, found.items[i]);
                }
            }
        };
    }

    private static Rule when(Node condition, Rule rule) {
        if (condition == null) {
            return rule;
        }
        Path path = Path.of(condition.names[0]);
        Set<String> values = new HashSet<>();
        for (int i = 0; i < condition.items[0].size; i++) {
            values.add(condition.items[0].items[i].text);
        }
        return (context, item) -> {
            Node found = path.find(context.root, item);
            if (found != null && values.contains(found.text)) {
                rule.write(context, item);
            }
        };
    }

    private static Rule edge(Node text) {
        known(text, Set.of("edge", "of", "to", "metadata", "each", "when"));
        Entity from = Entity.of(required(text, "of").text);
        Entity to = Entity.of(required(text, "to").text);
        String relation = required(text, "edge").text;
        Node metadata = text.get("metadata");
        Path[] paths = new Path[metadata == null ? 0 : metadata.size];
        for (int i = 0; i < paths.length; i++) {
            paths[i] = Path.of(metadata.items[i].text);
        }
        return (context, item) -> {
            String source = from.find(context, item);
            String target = to.find(context, item);
            if (source == null || target == null) {
                return;
            }
            StringBuilder out = new StringBuilder(192).append("{\"edges\":[{\"entity_reference\":");
            Text.quote(target, out);
            out.append(",\"entity_type\":\"").append(to.type).append('"');
            boolean begun = false;
            for (int i = 0; i < paths.length; i++) {
                Node value = paths[i].find(context.root, item);
                if (value != null) {
                    out.append(begun ? "," : ",\"metadata\":{");
                    Text.quote(metadata.names[i], out);
                    value.write(out.append(':'));
                    begun = true;
                }
            }
            out.append(begun ? "}" : "").append(",\"relation_type\":\"").append(relation).append("\"}],\"id\":");
            Text.quote(context.eventId + ":" + relation + ":" + target, out);
            Text.quote(source, out.append(",\"reference\":"));
            out.append(",\"type\":\"").append(from.type).append("\"}");
            context.out.add(new Written("entities-edges", from.type + ":" + source, out.toString(), context.timestampMs));
        };
    }

    private static Rule property(Node text) {
        known(text, Set.of("property", "property_from", "of", "value", "list", "each", "when"));
        Entity entity = Entity.of(required(text, "of").text);
        String name = text.get("property") == null ? null : text.get("property").text;
        Path nameFrom = name == null ? Path.of(required(text, "property_from").text) : null;
        Node value = required(text, "value");
        Path list = text.get("list") == null ? null : Path.of(text.get("list").text);
        Path[] paths = new Path[value.kind == Node.Kind.ARRAY ? value.size : 1];
        for (int i = 0; i < paths.length; i++) {
            paths[i] = Path.of((value.kind == Node.Kind.ARRAY ? value.items[i] : value).text);
        }
        return (context, item) -> {
            String reference = entity.find(context, item);
            Node named = nameFrom == null ? null : nameFrom.find(context.root, item);
            String field = nameFrom == null ? name : named == null ? null : named.text;
            StringBuilder out = new StringBuilder();
            boolean found = list != null ? all(list, paths[0], context, item, out) : joined(paths, context, item, out);
            if (reference != null && field != null && found) {
                StringBuilder body = new StringBuilder(192 + out.length()).append("{\"entity_reference\":");
                Text.quote(reference, body);
                body.append(",\"entity_type\":\"").append(entity.type).append("\",\"field_name\":");
                Text.quote(field, body);
                body.append(",\"field_value\":").append(out).append(",\"reference_date\":\"").append(context.date).append("\"}");
                String key = entity.type + ":" + reference;
                context.out.add(new Written("entity-properties", key, body.toString(), context.timestampMs));
            }
        };
    }

    /** One value as it is, or texts with a space in between. */
    private static boolean joined(Path[] paths, Context context, Node item, StringBuilder out) {
        if (paths.length == 1) {
            Node found = paths[0].find(context.root, item);
            if (found != null && !(found.kind == Node.Kind.ARRAY && found.incomplete)) {
                found.write(out);
                return true;
            }
            return false;
        }
        StringBuilder text = new StringBuilder();
        for (Path path : paths) {
            Node found = path.find(context.root, item);
            if (found != null) {
                text.append(text.isEmpty() ? "" : " ").append(found.normal);
            }
        }
        Text.quote(text.toString(), out);
        return !text.isEmpty();
    }

    /** A list of one member of each item. Not of a list without some of its items: it would say that they are gone. */
    private static boolean all(Path list, Path member, Context context, Node item, StringBuilder out) {
        Node found = list.find(context.root, item);
        if (found == null || found.incomplete) {
            return false;
        }
        out.append('[');
        for (int i = 0; i < found.size; i++) {
            member.find(context.root, found.items[i]).write(i == 0 ? out : out.append(','));
        }
        out.append(']');
        return true;
    }

    private static Rule point(Node text) {
        known(text, Set.of("point", "subject", "grain", "version", "value", "each", "when"));
        Path name = Path.of(required(text, "point").text);
        Path subject = Path.of(required(text, "subject").text);
        Path grain = Path.of(required(text, "grain").text);
        Path version = Path.of(required(text, "version").text);
        Path value = Path.of(required(text, "value").text);
        return (context, item) -> {
            String key = subject.find(context.root, item).normal;
            int slash = key.indexOf('/');
            StringBuilder out = new StringBuilder(256).append("{\"entity_reference\":");
            Text.quote(key.substring(slash + 1), out);
            out.append(",\"entity_type\":\"").append(key, 0, slash).append("\",\"property_granularity\":\"");
            out.append(Forms.GRANULARITIES.get(grain.find(context.root, item).text));
            out.append("\",\"property_reference_date\":\"").append(context.root.normal).append("\",\"property_type\":");
            Text.quote(name.find(context.root, item).text, out);
            value.find(context.root, item).write(out.append(",\"property_value\":"));
            out.append(",\"property_version\":").append(version.find(context.root, item).normal).append('}');
            String record = key.substring(0, slash) + ":" + key.substring(slash + 1);
            context.out.add(new Written("temporal-data", record, out.toString(), context.timestampMs));
        };
    }

    private static Node required(Node object, String name) {
        Node found = object.get(name);
        if (found == null) {
            throw new IllegalArgumentException("a mapping has no " + name + " in " + object.json());
        }
        return found;
    }

    private static void known(Node object, Set<String> names) {
        for (int i = 0; i < object.size; i++) {
            if (!names.contains(object.names[i])) {
                throw new IllegalArgumentException("a mapping has the unknown " + object.names[i] + " in " + object.json());
            }
        }
    }
}
