package userprofile.sources;

/** Texts in JSON and in reasons. */
final class Text {
    private static final char[] HEX = "0123456789ABCDEF".toCharArray();
    private static final int SHOWN = 60;

    private Text() {
    }

    /** Appends a JSON string. */
    static void quote(String text, StringBuilder out) {
        out.append('"');
        int length = text.length();
        int from = 0;
        for (int i = 0; i < length; i++) {
            char sign = text.charAt(i);
            if (sign >= ' ' && sign != '"' && sign != '\\') {
                continue;
            }
            out.append(text, from, i);
            from = i + 1;
            switch (sign) {
                case '"' -> out.append("\\\"");
                case '\\' -> out.append("\\\\");
                case '\n' -> out.append("\\n");
                case '\r' -> out.append("\\r");
                case '\t' -> out.append("\\t");
                case '\b' -> out.append("\\b");
                case '\f' -> out.append("\\f");
                default -> out.append("\\u00").append(HEX[sign >> 4]).append(HEX[sign & 15]);
            }
        }
        out.append(text, from, length).append('"');
    }

    static String quoted(String text) {
        StringBuilder out = new StringBuilder(text.length() + 2);
        quote(text, out);
        return out.toString();
    }

    /** A name that a stranger chose, as a part of a path: bounded, and without what would not show. */
    static String shown(String name) {
        String cut = name.length() > SHOWN ? name.substring(0, SHOWN) + "…" : name;
        StringBuilder out = new StringBuilder();
        cut.codePoints().forEach(sign -> {
            boolean hidden = Character.isISOControl(sign) || Character.getType(sign) == Character.FORMAT
                || Character.getType(sign) == Character.SURROGATE;
            out.appendCodePoint(hidden ? '�' : sign);
        });
        return out.toString();
    }

    /** Blank to people: white space of any script, controls, and signs without a width. */
    static boolean isBlank(int sign) {
        return switch (Character.getType(sign)) {
            case Character.SPACE_SEPARATOR, Character.LINE_SEPARATOR, Character.PARAGRAPH_SEPARATOR, Character.CONTROL,
                Character.FORMAT -> true;
            default -> false;
        };
    }

    /** The text without what is blank at its ends. */
    static String strip(String text) {
        int from = 0;
        int to = text.length();
        while (from < to && isBlank(text.codePointAt(from))) {
            from += Character.charCount(text.codePointAt(from));
        }
        while (to > from && isBlank(text.codePointBefore(to))) {
            to -= Character.charCount(text.codePointBefore(to));
        }
        return text.substring(from, to);
    }
}
