package userprofile.sources;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.regex.Pattern;

/**
 * One schema of a contract, compiled: JSON Schema 2020-12, of it the keywords that contracts use. A contract with any other
 * keyword is refused when it is read, so that none is passed over. `format` is asserted (`Forms`).
 *
 * Keywords of our own, which other validators ignore: `x-atomic`, whose parts are not left out one by one but with it;
 * `x-most-seconds-after-arrival` of a moment; `x-max-bytes` of a text in UTF-8.
 */
final class Check {
    private static final Set<String> KEYWORDS = Set.of("$schema", "$id", "$defs", "$ref", "$comment", "title", "description",
        "examples", "type", "properties", "required", "items", "enum", "const", "pattern", "minLength", "maxLength", "maxItems",
        "minimum", "maximum", "format", "anyOf", "allOf", "if", "then", "x-atomic", "x-most-seconds-after-arrival", "x-max-bytes");
    private static final Set<String> MOMENTS = Set.of("date-time", "epoch-ms", "epoch-s");

    /** What one event is checked with, and what was found. */
    static final class Run {
        final Forms forms;
        final long arrivalMs;
        final List<Object> path = new ArrayList<>();
        final List<Found> found = new ArrayList<>();
        boolean quiet;

        Run(Forms forms, long arrivalMs) {
            this.forms = forms;
            this.arrivalMs = arrivalMs;
        }
    }

    /** @param removable how many of the path's steps lead to the part that may be left out; -1 for none */
    record Found(Object[] path, String reason, int removable) {
    }

    private int types;
    private String words;
    private boolean titled;
    private final Map<String, Check> properties = new LinkedHashMap<>();
    private String[] names = {};
    private Check[] checks = {};
    private boolean[] optional = {};
    private String[] required = {};
    private Check items;
    private List<String> allowed;
    private Pattern pattern;
    private long maxLength = Long.MAX_VALUE;
    private long minLength;
    private long maxItems = Long.MAX_VALUE;
    private long maxBytes = Long.MAX_VALUE;
    private Double minimum;
    private Double maximum;
    private String format;
    private final List<Check> anyOf = new ArrayList<>();
    private final List<Check> allOf = new ArrayList<>();
    private Check condition;
    private Check consequence;
    private boolean atomic;
    private Long secondsAfterArrival;

    /** Compiles a schema. Throws IllegalArgumentException naming what it can't. */
    static Check compile(Node schema, Node root) {
        Check check = new Check();
        for (Node at = schema; ; ) {
            check.read(at, root);
            Node reference = at.get("$ref");
            if (reference == null) {
                break;
            }
            at = resolve(reference.text, root);
        }
        check.finish();
        return check;
    }

    private static Node resolve(String reference, Node root) {
        Node at = root;
        for (String part : reference.replaceFirst("^#/", "").split("/")) {
            at = at == null ? null : at.get(part);
        }
        if (at == null || !reference.startsWith("#/")) {
            throw new IllegalArgumentException("a contract refers to " + reference + ", which is not in it");
        }
        return at;
    }

    private void read(Node schema, Node root) {
        for (int i = 0; i < schema.size; i++) {
            String keyword = schema.names[i];
            Node value = schema.items[i];
            if (!KEYWORDS.contains(keyword)) {
                throw new IllegalArgumentException("a contract has the keyword " + keyword + ", which is not checked here");
            }
            switch (keyword) {
                case "type" -> types |= value.kind == Node.Kind.ARRAY ? typesOf(value) : typeOf(value.text);
                case "title" -> {
                    if (words == null) {
                        words = value.text;
                        titled = true;
                    }
                }
                case "properties" -> {
                    for (int each = 0; each < value.size; each++) {
                        properties.put(value.names[each], compile(value.items[each], root));
                    }
                }
                case "required" -> {
                    required = new String[value.size];
                    for (int each = 0; each < value.size; each++) {
                        required[each] = value.items[each].text;
                    }
                }
                case "items" -> items = compile(value, root);
                case "enum" -> {
                    allowed = new ArrayList<>();
                    for (int each = 0; each < value.size; each++) {
                        allowed.add(value.items[each].json());
                    }
                }
                case "const" -> allowed = List.of(value.json());
                case "pattern" -> pattern = Pattern.compile(value.text, Pattern.UNICODE_CHARACTER_CLASS);
                case "minLength" -> minLength = Long.parseLong(value.text);
                case "maxLength" -> maxLength = Long.parseLong(value.text);
                case "maxItems" -> maxItems = Long.parseLong(value.text);
                case "x-max-bytes" -> maxBytes = Long.parseLong(value.text);
                case "minimum" -> minimum = Double.valueOf(value.text);
                case "maximum" -> maximum = Double.valueOf(value.text);
                case "format" -> format = value.text;
                case "anyOf" -> compileAll(value, root, anyOf);
                case "allOf" -> compileAll(value, root, allOf);
                case "if" -> condition = compile(value, root);
                case "then" -> consequence = compile(value, root);
                case "x-atomic" -> atomic = value.kind == Node.Kind.TRUE;
                case "x-most-seconds-after-arrival" -> secondsAfterArrival = Long.valueOf(value.text);
                default -> {
                }
            }
        }
    }

    private static void compileAll(Node list, Node root, List<Check> into) {
        for (int each = 0; each < list.size; each++) {
            into.add(compile(list.items[each], root));
        }
    }

    private void finish() {
        names = properties.keySet().toArray(new String[0]);
        checks = properties.values().toArray(new Check[0]);
        optional = new boolean[names.length];
        for (int i = 0; i < names.length; i++) {
            optional[i] = !List.of(required).contains(names[i]);
        }
        if (words == null) {
            words = wordsOf(types);
        }
        if (format != null) {
            // An unknown format is found when the contract is read, not at the first event.
            new Forms("").of(format, format.equals("tax-id") ? new Node(Node.Kind.OBJECT, null) : new Node(Node.Kind.STRING, "0"));
        }
    }

    private static int typesOf(Node list) {
        int found = 0;
        for (int i = 0; i < list.size; i++) {
            found |= typeOf(list.items[i].text);
        }
        return found;
    }

    private static final String[] TYPES = {"object", "array", "string", "number", "integer", "boolean", "null"};
    private static final String[] WORDS = {"an object", "a list", "a text", "a number", "an integer", "true or false", "null"};

    private static int typeOf(String name) {
        int at = List.of(TYPES).indexOf(name);
        if (at < 0) {
            throw new IllegalArgumentException("a contract has the unknown type " + name);
        }
        return 1 << at;
    }

    private static String wordsOf(int types) {
        List<String> found = new ArrayList<>();
        for (int i = 0; i < TYPES.length - 1; i++) {
            if ((types & 1 << i) != 0) {
                found.add(WORDS[i]);
            }
        }
        return found.isEmpty() ? "something" : String.join(" or ", found);
    }

    private boolean hasType(Node value) {
        return types == 0 || switch (value.kind) {
            case OBJECT -> (types & 1) != 0;
            case ARRAY -> (types & 2) != 0;
            case STRING -> (types & 4) != 0;
            case NUMBER -> (types & 8) != 0 || (types & 16) != 0 && isInteger(value);
            case TRUE, FALSE -> (types & 32) != 0;
            case NULL -> (types & 64) != 0;
        };
    }

    private static boolean isInteger(Node value) {
        String text = value.text;
        for (int i = 0; i < text.length(); i++) {
            char sign = text.charAt(i);
            if (sign == '.' || sign == 'e' || sign == 'E') {
                return new java.math.BigDecimal(text).stripTrailingZeros().scale() <= 0;
            }
        }
        return true;
    }

    /** Adds to `run.found` what is wrong with a value, which `run.path` leads to. */
    void check(Node value, Run run, int removable, boolean within) {
        if (!hasType(value)) {
            boolean isNumberOfAnotherKind = value.kind == Node.Kind.NUMBER && (types & 16) != 0;
            fault(run, removable, "expected " + words + (isNumberOfAnotherKind ? "" : ", got " + value.inWords()));
            return;
        }
        if (allowed != null && !allowed.contains(value.json())) {
            fault(run, removable, "expected " + (titled ? words : "one of " + String.join(", ", allowed)));
            return;
        }
        switch (value.kind) {
            case OBJECT -> object(value, run, removable, within || atomic);
            case ARRAY -> list(value, run, removable, within || atomic);
            case STRING -> {
                if (!rightText(value.text)) {
                    fault(run, removable, "expected " + words);
                    return;
                }
            }
            case NUMBER -> {
                if (format == null && !inRange(value.text)) {
                    fault(run, removable, "expected " + words);
                    return;
                }
            }
            default -> {
            }
        }
        if (format != null && value.kind != Node.Kind.NULL && !run.quiet) {
            format(value, run, removable);
        }
        combined(value, run, removable, within);
    }

    private void object(Node value, Run run, int removable, boolean whole) {
        for (String name : required) {
            if (value.get(name) == null) {
                run.path.add(name);
                fault(run, removable, "missing");
                run.path.remove(run.path.size() - 1);
            }
        }
        for (int i = 0; i < value.size; i++) {
            Node member = value.items[i];
            int at = member == null ? -1 : indexOf(value.names[i]);
            if (at >= 0) {
                run.path.add(names[at]);
                checks[at].check(member, run, optional[at] && !whole ? run.path.size() : removable, whole);
                run.path.remove(run.path.size() - 1);
            }
        }
    }

    private int indexOf(String name) {
        for (int i = 0; i < names.length; i++) {
            if (names[i].equals(name)) {
                return i;
            }
        }
        return -1;
    }

    private void list(Node value, Run run, int removable, boolean whole) {
        if (value.size > maxItems) {
            fault(run, removable, "expected up to " + maxItems + " items");
        } else if (items != null) {
            for (int i = 0; i < value.size; i++) {
                if (value.items[i] != null) {
                    run.path.add(i);
                    items.check(value.items[i], run, whole ? removable : run.path.size(), whole);
                    run.path.remove(run.path.size() - 1);
                }
            }
        }
    }

    private boolean rightText(String text) {
        return (minLength == 0 || text.codePointCount(0, text.length()) >= minLength)
            && (maxLength == Long.MAX_VALUE || text.length() <= maxLength || text.codePointCount(0, text.length()) <= maxLength)
            && (maxBytes == Long.MAX_VALUE || Forms.bytes(text) <= maxBytes)
            && (pattern == null || pattern.matcher(text).find());
    }

    private boolean inRange(String number) {
        if (minimum == null && maximum == null) {
            return true;
        }
        double value = Double.parseDouble(number);
        return (minimum == null || value >= minimum) && (maximum == null || value <= maximum);
    }

    private void format(Node value, Run run, int removable) {
        value.normal = run.forms.of(format, value);
        value.form = Forms.kindOf(format);
        boolean moment = MOMENTS.contains(format);
        // Limits of a moment are those of what was sent; a text may be a number, and has the limits of one.
        boolean right = value.normal != null && (minimum == null && maximum == null || value.normal.isEmpty()
            || inRange(moment ? value.text : value.normal));
        if (!right && format.equals("labelled-period")) {
            run.path.add("period");
            fault(run, removable, "expected " + words);
            run.path.remove(run.path.size() - 1);
        } else if (!right) {
            fault(run, removable, "expected " + words);
        } else if (moment && Long.parseLong(value.normal) < 0) {
            fault(run, removable, "before 1970");
        } else if (secondsAfterArrival != null
            && Math.floorDiv(Long.parseLong(value.normal), 1000L) > run.arrivalMs + 1000 * secondsAfterArrival) {
            fault(run, removable, "in the future: over " + secondsAfterArrival / 60 + " minutes after the record arrived");
        }
    }

    private void combined(Node value, Run run, int removable, boolean within) {
        for (Check each : allOf) {
            each.check(value, run, removable, within);
        }
        if (condition != null && consequence != null && condition.holds(value, run)) {
            consequence.check(value, run, removable, within);
        }
        if (!anyOf.isEmpty() && anyOf.stream().noneMatch(each -> each.holds(value, run))) {
            fault(run, removable, "expected " + words);
        }
    }

    private boolean holds(Node value, Run run) {
        Run trial = new Run(run.forms, run.arrivalMs);
        trial.quiet = true;
        check(value, trial, -1, true);
        return trial.found.isEmpty();
    }

    private static void fault(Run run, int removable, String reason) {
        run.found.add(new Found(run.path.toArray(), reason, removable));
    }
}
