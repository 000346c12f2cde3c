package userprofile.sources;

import java.math.BigDecimal;
import java.math.RoundingMode;
import java.time.DateTimeException;
import java.time.DayOfWeek;
import java.time.LocalDate;
import java.time.temporal.IsoFields;
import java.time.temporal.TemporalAdjusters;

/** Moments and periods of sources, in UTC. */
final class Times {
    private static final int SECONDS_A_DAY = 86_400;

    private Times() {
    }

    /**
     * Microseconds since 1970 of an RFC 3339 date-time with 0 to 9 digits of a second, cut to microseconds; null where it is
     * none. As the service reads them (app/core/dates.py): offsets of up to 23:59, no 24:00, no 60th second.
     */
    static Long micros(String text) {
        int length = text.length();
        if (length < 20 || text.charAt(4) != '-' || text.charAt(7) != '-' || text.charAt(10) != 'T' || text.charAt(13) != ':'
            || text.charAt(16) != ':') {
            return null;
        }
        int year = digits(text, 0, 4);
        int month = digits(text, 5, 7);
        int day = digits(text, 8, 10);
        int hour = digits(text, 11, 13);
        int minute = digits(text, 14, 16);
        int second = digits(text, 17, 19);
        if (year < 1 || month < 0 || day < 0 || hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 59) {
            return null;
        }
        int at = 19;
        long fraction = 0;
        if (text.charAt(at) == '.') {
            int from = ++at;
            long unit = 100_000;
            while (at < length && isDigit(text.charAt(at))) {
                fraction += (text.charAt(at) - '0') * unit;
                unit /= 10;
                at++;
            }
            if (at == from || at - from > 9) {
                return null;
            }
        }
        int offset = offsetSeconds(text, at);
        if (offset == Integer.MIN_VALUE) {
            return null;
        }
        try {
            long days = LocalDate.of(year, month, day).toEpochDay();
            return (days * SECONDS_A_DAY + hour * 3600L + minute * 60L + second - offset) * 1_000_000 + fraction;
        } catch (DateTimeException error) {
            return null;
        }
    }

    private static int offsetSeconds(String text, int at) {
        int left = text.length() - at;
        if (left == 1 && text.charAt(at) == 'Z') {
            return 0;
        }
        if (left != 6 || text.charAt(at + 3) != ':') {
            return Integer.MIN_VALUE;
        }
        int hours = digits(text, at + 1, at + 3);
        int minutes = digits(text, at + 4, at + 6);
        if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59) {
            return Integer.MIN_VALUE;
        }
        int seconds = hours * 3600 + minutes * 60;
        return switch (text.charAt(at)) {
            case '+' -> seconds;
            case '-' -> -seconds;
            default -> Integer.MIN_VALUE;
        };
    }

    private static boolean isDigit(char sign) {
        return sign >= '0' && sign <= '9';
    }

    private static int digits(String text, int from, int to) {
        int value = 0;
        for (int i = from; i < to; i++) {
            if (!isDigit(text.charAt(i))) {
                return -1;
            }
            value = 10 * value + text.charAt(i) - '0';
        }
        return value;
    }

    /** Microseconds since 1970 of a number of units of which each has that many; null beyond 18 digits. */
    static Long micros(BigDecimal number, long unit) {
        BigDecimal whole = number.multiply(BigDecimal.valueOf(unit)).setScale(0, RoundingMode.FLOOR);
        return whole.precision() > 18 ? null : whole.longValueExact();
    }

    /** RFC 3339 in UTC with 0, 3 or 6 digits of a second. */
    static String text(long micros, int fraction) {
        long seconds = Math.floorDiv(micros, 1_000_000L);
        int rest = (int) Math.floorMod(micros, 1_000_000L);
        LocalDate date = LocalDate.ofEpochDay(Math.floorDiv(seconds, (long) SECONDS_A_DAY));
        int clock = (int) Math.floorMod(seconds, (long) SECONDS_A_DAY);
        StringBuilder out = new StringBuilder(27);
        pad(date.getYear(), 4, out);
        pad(date.getMonthValue(), 2, out.append('-'));
        pad(date.getDayOfMonth(), 2, out.append('-'));
        pad(clock / 3600, 2, out.append('T'));
        pad(clock / 60 % 60, 2, out.append(':'));
        pad(clock % 60, 2, out.append(':'));
        if (fraction == 3) {
            pad(rest / 1000, 3, out.append('.'));
        } else if (fraction == 6) {
            pad(rest, 6, out.append('.'));
        }
        return out.append('Z').toString();
    }

    private static void pad(int number, int width, StringBuilder out) {
        String text = Integer.toString(number);
        out.append("0".repeat(Math.max(0, width - text.length()))).append(text);
    }

    /** The last instant of a period; null where the label is none of its grain. Weeks are those of ISO 8601. */
    static String lastInstant(String granularity, String label) {
        try {
            LocalDate last = switch (granularity) {
                case "day" -> label.matches("[0-9]{4}-[0-9]{2}-[0-9]{2}") ? LocalDate.parse(label) : null;
                case "week" -> label.matches("[0-9]{4}-W[0-9]{2}") ? week(digits(label, 0, 4), digits(label, 6, 8)) : null;
                case "month" -> label.matches("[0-9]{4}-[0-9]{2}")
                    ? LocalDate.of(digits(label, 0, 4), digits(label, 5, 7), 1).with(TemporalAdjusters.lastDayOfMonth()) : null;
                case "quarter" -> label.matches("[0-9]{4}-Q[1-4]")
                    ? LocalDate.of(digits(label, 0, 4), 3 * digits(label, 6, 7), 1).with(TemporalAdjusters.lastDayOfMonth()) : null;
                default -> label.matches("[0-9]{4}") ? LocalDate.of(digits(label, 0, 4), 12, 31) : null;
            };
            return last == null || last.getYear() < 1 ? null : last + "T23:59:59.999999Z";
        } catch (DateTimeException error) {
            return null;
        }
    }

    private static LocalDate week(int year, int number) {
        LocalDate fourth = LocalDate.of(year, 1, 4);
        LocalDate sunday = fourth.with(DayOfWeek.MONDAY).plusWeeks(number - 1L).plusDays(6);
        return number > 0 && sunday.minusDays(3).get(IsoFields.WEEK_BASED_YEAR) == year
            && sunday.get(IsoFields.WEEK_OF_WEEK_BASED_YEAR) == number ? sunday : null;
    }
}
