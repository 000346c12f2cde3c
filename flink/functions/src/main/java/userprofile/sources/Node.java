package userprofile.sources;

/**
 * One value of a JSON document. A number keeps its text, digit for digit. What a contract takes out of an object or a list
 * is null there, and the list knows that it is not whole.
 */
final class Node {
    enum Kind { OBJECT, ARRAY, STRING, NUMBER, TRUE, FALSE, NULL }

    /** How a normal form is written: as a text, as the JSON that it is, or as a moment with that many digits of a second. */
    enum Form { TEXT, JSON, SECONDS, MILLISECONDS, MICROSECONDS }

    private static final Node[] NONE = {};
    private static final String[] NO_NAMES = {};

    final Kind kind;
    /** Of a string its characters, of a number its text. */
    final String text;
    String[] names = NO_NAMES;
    Node[] items = NONE;
    int size;
    boolean incomplete;
    /** The normal form, once a contract's `format` has been checked; null before. */
    String normal;
    Form form;

    Node(Kind kind, String text) {
        this.kind = kind;
        this.text = text;
        if (kind == Kind.OBJECT) {
            names = new String[8];
            items = new Node[8];
        } else if (kind == Kind.ARRAY) {
            items = new Node[4];
        }
    }

    void add(String name, Node item) {
        if (size == items.length) {
            items = java.util.Arrays.copyOf(items, 2 * size);
            if (kind == Kind.OBJECT) {
                names = java.util.Arrays.copyOf(names, 2 * size);
            }
        }
        if (kind == Kind.OBJECT) {
            names[size] = name;
        }
        items[size++] = item;
    }

    /** The member of this name; null where there is none, and for what is no object. */
    Node get(String name) {
        for (int i = 0; i < names.length && i < size; i++) {
            if (names[i].equals(name)) {
                return items[i];
            }
        }
        return null;
    }

    /** The member of this name; null where there is none or where it is JSON's null. */
    Node member(String name) {
        Node found = get(name);
        return found == null || found.kind == Kind.NULL ? null : found;
    }

    /** Takes out a part that `path` leads to: names of members and indexes of lists. */
    void remove(Object[] path, int from) {
        int at = -1;
        if (path[from] instanceof Integer index) {
            at = index;
        } else {
            for (int i = 0; i < size; i++) {
                if (names[i].equals(path[from])) {
                    at = i;
                }
            }
        }
        if (at < 0 || items[at] == null) {
            return;
        }
        if (from + 1 == path.length) {
            items[at] = null;
            incomplete |= kind == Kind.ARRAY;
        } else {
            items[at].remove(path, from + 1);
        }
    }

    /** How people call the kind of this value. */
    String inWords() {
        return switch (kind) {
            case OBJECT -> "an object";
            case ARRAY -> "a list";
            case STRING -> "a text";
            case NUMBER -> "a number";
            case TRUE -> "true";
            case FALSE -> "false";
            case NULL -> "null";
        };
    }

    /** False for null and for a text that is blank. */
    boolean hasContent() {
        return kind != Kind.NULL && !"".equals(normal);
    }

    /** Appends this value as compact JSON, in its normal form where it has one. */
    void write(StringBuilder out) {
        if (normal != null) {
            switch (form) {
                case TEXT -> Text.quote(normal, out);
                case JSON -> out.append(normal);
                case SECONDS -> Text.quote(Times.text(Long.parseLong(normal), 0), out);
                case MILLISECONDS -> Text.quote(Times.text(Long.parseLong(normal), 3), out);
                case MICROSECONDS -> Text.quote(Times.text(Long.parseLong(normal), 6), out);
            }
            return;
        }
        switch (kind) {
            case OBJECT, ARRAY -> {
                boolean object = kind == Kind.OBJECT;
                out.append(object ? '{' : '[');
                boolean first = true;
                for (int i = 0; i < size; i++) {
                    if (items[i] == null) {
                        continue;
                    }
                    if (!first) {
                        out.append(',');
                    }
                    first = false;
                    if (object) {
                        Text.quote(names[i], out);
                        out.append(':');
                    }
                    items[i].write(out);
                }
                out.append(object ? '}' : ']');
            }
            case STRING -> Text.quote(text, out);
            case NUMBER -> out.append(text);
            case TRUE -> out.append("true");
            case FALSE -> out.append("false");
            case NULL -> out.append("null");
        }
    }

    String json() {
        StringBuilder out = new StringBuilder();
        write(out);
        return out.toString();
    }
}
