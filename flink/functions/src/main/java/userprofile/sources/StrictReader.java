package userprofile.sources;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.StreamReadConstraints;
import com.fasterxml.jackson.core.exc.StreamConstraintsException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.CharBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.CharsetDecoder;
import java.nio.charset.CodingErrorAction;
import java.nio.charset.StandardCharsets;
import java.util.HashSet;
import java.util.Set;

/**
 * Reads the bytes of one record as exactly one JSON object. Parsers differ on what this refuses: bytes that are not UTF-8,
 * half of a surrogate pair, U+0000, a name that comes twice, a second value. One per thread.
 */
final class StrictReader {
    static final int MAX_BYTES = 524_288;
    static final int MAX_DEPTH = 64;
    private static final int MAX_DIGITS = 1_000;
    private static final int MAX_EXPONENT_DIGITS = 3;
    private static final int FEW_NAMES = 12;

    private final CharsetDecoder decoder = StandardCharsets.UTF_8.newDecoder()
        .onMalformedInput(CodingErrorAction.REPORT).onUnmappableCharacter(CodingErrorAction.REPORT);
    private final JsonFactory factory = JsonFactory.builder()
        .streamReadConstraints(StreamReadConstraints.builder().maxNestingDepth(MAX_DEPTH).maxNumberLength(MAX_DIGITS)
            .maxStringLength(MAX_BYTES).maxNameLength(MAX_BYTES).build())
        .disable(JsonFactory.Feature.INTERN_FIELD_NAMES)
        .build();
    private char[] chars = new char[4096];

    /** The root object of these bytes. Throws Refused with the reason. */
    Node read(byte[] bytes) throws Refused {
        if (bytes == null) {
            throw new Refused("the record has no value (a tombstone)");
        }
        if (bytes.length > MAX_BYTES) {
            throw new Refused("the value is longer than 524,288 bytes");
        }
        int length = decode(bytes);
        try (JsonParser parser = factory.createParser(chars, 0, length)) {
            JsonToken first = parser.nextToken();
            if (first == null) {
                throw new Refused("the value is empty");
            }
            if (first != JsonToken.START_OBJECT) {
                value(parser, first);
                throw new Refused("the value is not a JSON object");
            }
            Node root = value(parser, first);
            if (parser.nextToken() != null) {
                throw new Refused("the value holds more than one JSON value");
            }
            return root;
        } catch (StreamConstraintsException error) {
            throw new Refused(error.getMessage().contains("nesting")
                ? "the value is nested deeper than 64 levels" : "the value holds a number of more than 1,000 digits");
        } catch (JsonProcessingException error) {
            throw new Refused("the value is not JSON, from character " + error.getLocation().getCharOffset() + " on");
        } catch (IOException error) {
            throw new Refused("the value can't be read");
        } finally {
            if (chars.length > 65_536) {
                chars = new char[4096];
            }
        }
    }

    private int decode(byte[] bytes) throws Refused {
        if (chars.length < bytes.length) {
            chars = new char[Math.max(bytes.length, 2 * chars.length)];
        }
        CharBuffer out = CharBuffer.wrap(chars);
        ByteBuffer in = ByteBuffer.wrap(bytes);
        decoder.reset();
        try {
            java.nio.charset.CoderResult result = decoder.decode(in, out, true);
            if (result.isError()) {
                result.throwException();
            }
        } catch (CharacterCodingException error) {
            throw new Refused("the value is not UTF-8, from byte " + in.position() + " on");
        }
        return out.position();
    }

    private Node value(JsonParser parser, JsonToken token) throws IOException, Refused {
        switch (token) {
            case START_OBJECT -> {
                Node object = new Node(Node.Kind.OBJECT, null);
                Set<String> seen = null;
                while (parser.nextToken() != JsonToken.END_OBJECT) {
                    String name = text(parser, parser.currentName());
                    if (object.size < FEW_NAMES) {
                        for (int i = 0; i < object.size; i++) {
                            if (object.names[i].equals(name)) {
                                throw twice(parser);
                            }
                        }
                    } else {
                        if (seen == null) {
                            seen = new HashSet<>(java.util.Arrays.asList(object.names).subList(0, object.size));
                        }
                        if (!seen.add(name)) {
                            throw twice(parser);
                        }
                    }
                    object.add(name, value(parser, parser.nextToken()));
                }
                return object;
            }
            case START_ARRAY -> {
                Node list = new Node(Node.Kind.ARRAY, null);
                for (JsonToken next = parser.nextToken(); next != JsonToken.END_ARRAY; next = parser.nextToken()) {
                    list.add(null, value(parser, next));
                }
                return list;
            }
            case VALUE_STRING -> {
                return new Node(Node.Kind.STRING, text(parser, parser.getText()));
            }
            case VALUE_NUMBER_INT, VALUE_NUMBER_FLOAT -> {
                return new Node(Node.Kind.NUMBER, number(parser, parser.getText()));
            }
            case VALUE_TRUE -> {
                return new Node(Node.Kind.TRUE, null);
            }
            case VALUE_FALSE -> {
                return new Node(Node.Kind.FALSE, null);
            }
            default -> {
                return new Node(Node.Kind.NULL, null);
            }
        }
    }

    private static String text(JsonParser parser, String text) throws Refused {
        for (int i = 0; i < text.length(); i++) {
            char sign = text.charAt(i);
            if (sign == 0) {
                throw new Refused(where(parser) + ": holds U+0000, which can't be stored");
            }
            if (Character.isSurrogate(sign)) {
                if (Character.isLowSurrogate(sign) || i + 1 == text.length() || !Character.isLowSurrogate(text.charAt(i + 1))) {
                    throw new Refused(where(parser) + ": holds half of a surrogate pair, which is no character");
                }
                i++;
            }
        }
        return text;
    }

    private static String number(JsonParser parser, String text) throws Refused {
        if (text.length() > MAX_DIGITS) {
            throw new Refused(where(parser) + ": a number of more than 1,000 digits");
        }
        int exponent = Math.max(text.indexOf('e'), text.indexOf('E'));
        if (exponent >= 0) {
            int digits = exponent + 1;
            while (digits < text.length() && "+-0".indexOf(text.charAt(digits)) >= 0) {
                digits++;
            }
            if (text.length() - digits > MAX_EXPONENT_DIGITS) {
                throw new Refused(where(parser) + ": a number whose exponent has more than three digits");
            }
        }
        return text;
    }

    private static Refused twice(JsonParser parser) {
        return new Refused(where(parser) + ": the name comes twice in one object");
    }

    private static String where(JsonParser parser) {
        String pointer = parser.getParsingContext().pathAsPointer(false).toString();
        StringBuilder path = new StringBuilder();
        for (String part : pointer.split("/")) {
            if (part.isEmpty()) {
                continue;
            }
            boolean index = part.chars().allMatch(Character::isDigit);
            path.append(index ? "[" + part + "]" : (path.isEmpty() ? "" : ".") + Text.shown(part));
        }
        return path.isEmpty() ? "the value" : path.toString();
    }
}
