package userprofile.sources;

import java.time.LocalDate;
import java.util.Arrays;

/**
 * The running sums of one customer's payments in a year (UTC): of the year, of each month and of each day that has any.
 *
 * Packed they take a dozen bytes for each period, and up to five kilobytes where each day has payments. So a payment
 * reads and writes one entry of the state, not one for each of its three periods.
 */
final class YearOfSums {
    private static final byte FORMAT = 1;
    private static final int MONTHS = 12;
    private static final int PERIODS_OF_A_PAYMENT = 3;
    private static final int FIELDS = 4;

    /** The sums of one period up to now; `latestMs`: the newest time of its payments, milliseconds since 1970. */
    record Sum(String granularity, LocalDate last, long cents, long quantity, long count, long latestMs) {
    }

    private int size;
    /** In ascending order: 0 is the year, 1 to 12 are its months, and from 13 on its days. */
    private int[] periods;
    /** Of each period its count, cents, quantity and latest time. */
    private long[] fields;

    /** `packed`: null where there is none yet. */
    YearOfSums(byte[] packed) {
        int most = PERIODS_OF_A_PAYMENT;
        Packed from = packed == null ? null : new Packed(packed);
        if (from != null) {
            if (from.next() != FORMAT) {
                throw new IllegalArgumentException("sums in a format of another version");
            }
            size = (int) from.next();
            most += size;
        }
        periods = new int[most];
        fields = new long[FIELDS * most];
        for (int i = 0; i < size; i++) {
            periods[i] = (int) from.next();
            for (int field = 0; field < FIELDS; field++) {
                fields[FIELDS * i + field] = from.nextSigned();
            }
        }
    }

    /** Adds one payment; returns the sums of its day, its month and its year. */
    Sum[] add(LocalDate day, long cents, long quantity, long timeMs) {
        LocalDate month = day.withDayOfMonth(day.lengthOfMonth());
        return new Sum[] {
            add(MONTHS + day.getDayOfYear(), "day", day, cents, quantity, timeMs),
            add(day.getMonthValue(), "month", month, cents, quantity, timeMs),
            add(0, "year", LocalDate.of(day.getYear(), MONTHS, 31), cents, quantity, timeMs)};
    }

    private Sum add(int period, String granularity, LocalDate last, long cents, long quantity, long timeMs) {
        int at = Arrays.binarySearch(periods, 0, size, period);
        if (at < 0) {
            at = -at - 1;
            System.arraycopy(periods, at, periods, at + 1, size - at);
            System.arraycopy(fields, FIELDS * at, fields, FIELDS * (at + 1), FIELDS * (size - at));
            Arrays.fill(fields, FIELDS * at, FIELDS * (at + 1), 0);
            periods[at] = period;
            fields[FIELDS * at + 3] = timeMs;
            size++;
        }
        int first = FIELDS * at;
        fields[first]++;
        fields[first + 1] += cents;
        fields[first + 2] += quantity;
        fields[first + 3] = Math.max(fields[first + 3], timeMs);
        return new Sum(granularity, last, fields[first + 1], fields[first + 2], fields[first], fields[first + 3]);
    }

    byte[] packed() {
        Packed out = new Packed(new byte[2 + 16 * size + 16]);
        out.put(FORMAT);
        out.put(size);
        for (int i = 0; i < size; i++) {
            out.put(periods[i]);
            for (int field = 0; field < FIELDS; field++) {
                out.putSigned(fields[FIELDS * i + field]);
            }
        }
        return out.bytes();
    }

    /** Whole numbers of as many bytes as each needs (LEB128; signed ones in zigzag). */
    private static final class Packed {
        private static final int MOST = 10;

        private byte[] content;
        private int at;

        Packed(byte[] content) {
            this.content = content;
        }

        long next() {
            long value = 0;
            for (int shift = 0; ; shift += 7) {
                byte part = content[at++];
                value |= (part & 0x7fL) << shift;
                if (part >= 0) {
                    return value;
                }
            }
        }

        long nextSigned() {
            long value = next();
            return value >>> 1 ^ -(value & 1);
        }

        void put(long value) {
            if (content.length < at + MOST) {
                content = Arrays.copyOf(content, 2 * content.length);
            }
            long left = value;
            while ((left & ~0x7fL) != 0) {
                content[at++] = (byte) (left | 0x80);
                left >>>= 7;
            }
            content[at++] = (byte) left;
        }

        void putSigned(long value) {
            put(value << 1 ^ value >> 63);
        }

        byte[] bytes() {
            return Arrays.copyOf(content, at);
        }
    }
}
