package userprofile.sources;

import com.google.i18n.phonenumbers.NumberParseException;
import com.google.i18n.phonenumbers.PhoneNumberUtil;
import java.math.BigDecimal;
import java.text.Normalizer;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.regex.Pattern;

/**
 * The normal form of each `format` of the contracts: what two sources must write alike to mean one thing. A form is null
 * where the value is none of its format, and empty where a text is blank.
 *
 * Texts are brought to NFC and no further: NFKC would change what people wrote (² is not 2), and RFC 6532 warns of it for
 * e-mail addresses.
 */
final class Forms {
    private static final Pattern EMAIL = Pattern.compile("[^@\\s\\p{Cc}\\p{Cf}\\p{Z}]{1,64}@[^@\\s\\p{Cc}\\p{Cf}\\p{Z}]{1,189}");
    private static final Pattern PHONE = Pattern.compile("[+＋]?[\\p{Nd}\\p{Pd}\\p{Z}\\t().・·~/]+");
    private static final Pattern NUMBER = Pattern.compile("-?(0|[1-9][0-9]{0,14})([.][0-9]{1,15})?([eE][+-]?[0-9]{1,3})?");
    private static final Pattern DECIMAL = Pattern.compile("-?[0-9]{1,15}([.][0-9]{1,20})?([eE][+-]?[0-9]{1,3})?");
    private static final Set<String> NOBODY = Set.of("null", "none", "nil", "undefined", "nan", "true", "false", "0");
    static final Map<String, String> GRANULARITIES = Map.of(
        "DAILY", "day", "WEEKLY", "week", "MONTHLY", "month", "QUARTERLY", "quarter", "YEARLY", "year");
    private static final int MAX_REFERENCE_BYTES = 1024;
    private static final int MAX_DIGITS = 15;
    private static final int MAX_EMAIL = 254;

    private final String region;

    /** `region`: the country (ISO 3166) of phone numbers that do not say theirs; empty for none. */
    Forms(String region) {
        if (!region.isEmpty() && !PhoneNumberUtil.getInstance().getSupportedRegions().contains(region)) {
            throw new IllegalArgumentException("no country has the code " + region + ": expected one such as BR");
        }
        this.region = region.isEmpty() ? "ZZ" : region;
    }

    /** The normal form of a value. Throws IllegalArgumentException for a format that no contract may name. */
    String of(String format, Node value) {
        if (format.equals("tax-id")) {
            return taxId(value);
        }
        if (format.equals("labelled-period")) {
            return lastInstant(value);
        }
        if (format.equals("boolean")) {
            return value.kind == Node.Kind.STRING ? value.text : value.json();
        }
        String text = value.text;
        return switch (format) {
            case "event-id" -> Text.strip(text);
            case "reference" -> reference(text);
            case "optional-reference" -> Text.strip(text).isEmpty() ? "" : reference(text);
            case "subject" -> subject(text);
            case "name" -> name(text);
            case "lower-case" -> name(text).toLowerCase(Locale.ROOT);
            case "email" -> email(text);
            case "phone" -> phone(text);
            case "date-time" -> of(Times.micros(text));
            case "epoch-ms" -> epoch(text, 1_000);
            case "epoch-s" -> epoch(text, 1_000_000);
            case "integer" -> integer(text);
            case "number" -> NUMBER.matcher(text).matches() ? text : null;
            default -> throw new IllegalArgumentException("a contract names the unknown format " + format);
        };
    }

    static Node.Form kindOf(String format) {
        return switch (format) {
            case "boolean", "integer", "number", "tax-id" -> Node.Form.JSON;
            case "epoch-s" -> Node.Form.SECONDS;
            case "epoch-ms" -> Node.Form.MILLISECONDS;
            case "date-time" -> Node.Form.MICROSECONDS;
            default -> Node.Form.TEXT;
        };
    }

    /** The last instant of the period of an object with a grain and a period. */
    private static String lastInstant(Node value) {
        Node grain = value.get("grain");
        Node period = value.get("period");
        String granularity = grain == null || grain.text == null ? null : GRANULARITIES.get(grain.text);
        return granularity == null || period == null || period.text == null ? null : Times.lastInstant(granularity, period.text);
    }

    private static String of(Long micros) {
        return micros == null ? null : micros.toString();
    }

    /** Who or what is meant. Placeholders of programs (null, undefined, false, 0) mean nobody. */
    static String reference(String text) {
        String found = Text.strip(text);
        boolean named = !found.isEmpty() && !NOBODY.contains(found.toLowerCase(Locale.ROOT));
        return named && bytes(found) <= MAX_REFERENCE_BYTES ? found : null;
    }

    /** type/reference. */
    private static String subject(String text) {
        int slash = text.indexOf('/');
        if (slash < 1 || !text.substring(0, slash).matches("[a-z][a-z0-9_-]{0,254}") || text.startsWith("unknown/")) {
            return null;
        }
        String reference = reference(text.substring(slash + 1));
        return reference == null ? null : text.substring(0, slash + 1) + reference;
    }

    /** Without what is blank at the ends, one space for each run of what is blank within, in NFC. */
    static String name(String text) {
        String stripped = Text.strip(text);
        StringBuilder out = new StringBuilder(stripped.length());
        boolean gap = false;
        for (int i = 0; i < stripped.length(); ) {
            int sign = stripped.codePointAt(i);
            i += Character.charCount(sign);
            // A sign without a width joins letters in some scripts: it is no gap.
            boolean space = Text.isBlank(sign) && Character.getType(sign) != Character.FORMAT;
            if (space && !gap) {
                out.append(' ');
            } else if (!space) {
                out.appendCodePoint(sign);
            }
            gap = space;
        }
        return Normalizer.normalize(out, Normalizer.Form.NFC);
    }

    /** Lower case in NFC. */
    static String email(String text) {
        String found = Normalizer.normalize(Text.strip(text), Normalizer.Form.NFC).toLowerCase(Locale.ROOT);
        return found.isEmpty() || (found.length() <= MAX_EMAIL && EMAIL.matcher(found).matches()) ? found : null;
    }

    /** E.164: + and digits. */
    String phone(String text) {
        String found = Text.strip(text);
        if (found.isEmpty()) {
            return found;
        }
        if (!PHONE.matcher(found).matches()) {
            return null;
        }
        PhoneNumberUtil numbers = PhoneNumberUtil.getInstance();
        try {
            var number = numbers.parse(found, region);
            boolean possible = numbers.isPossibleNumberWithReason(number) == PhoneNumberUtil.ValidationResult.IS_POSSIBLE;
            return possible && !found.contains("/") ? numbers.format(number, PhoneNumberUtil.PhoneNumberFormat.E164) : null;
        } catch (NumberParseException error) {
            return null;
        }
    }

    /** A CPF has 11 digits; a CNPJ has 14 signs, of which the first 12 may be letters. */
    private static String taxId(Node value) {
        Node kind = value.get("kind");
        Node number = value.get("value");
        if (kind == null || number == null || kind.text == null || number.text == null) {
            return null;
        }
        String type = name(kind.text).toLowerCase(Locale.ROOT);
        String signs = Text.strip(number.text).replaceAll("[\\p{Z}.,/-]", "").toUpperCase(Locale.ROOT);
        boolean right = type.equals("cpf") && signs.matches("[0-9]{11}")
            || type.equals("cnpj") && signs.matches("[0-9A-Z]{12}[0-9]{2}");
        return right ? "{\"number\":\"" + signs + "\",\"type\":\"" + type + "\"}" : null;
    }

    private static String integer(String text) {
        BigDecimal number = decimal(text);
        if (number == null || number.stripTrailingZeros().scale() > 0) {
            return null;
        }
        return number.toBigInteger().toString();
    }

    /** Microseconds since 1970, without what is less than a unit. */
    private static String epoch(String text, long unit) {
        BigDecimal number = decimal(text);
        Long micros = number == null || number.signum() < 0 ? null : Times.micros(number, unit);
        return of(micros);
    }

    /** A number of up to 15 digits before the point, without writing out what its exponent says. */
    private static BigDecimal decimal(String text) {
        if (!DECIMAL.matcher(text).matches()) {
            return null;
        }
        BigDecimal number = new BigDecimal(text);
        return number.precision() - number.scale() > MAX_DIGITS ? null : number;
    }

    static int bytes(String text) {
        int bytes = text.length();
        for (int i = 0; i < text.length(); i++) {
            char sign = text.charAt(i);
            if (sign >= 0x800 && !Character.isSurrogate(sign)) {
                bytes += 2;
            } else if (sign >= 0x80) {
                bytes++;
            }
        }
        return bytes;
    }
}
