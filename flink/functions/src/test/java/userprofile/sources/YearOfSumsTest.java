package userprofile.sources;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.LocalDate;
import java.util.HashMap;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.Test;

/** The sums of a year, from payment to payment through what the state holds of them. */
class YearOfSumsTest {
    private static final int PAYMENTS = 3_000;
    private static final long MOST_CENTS = 999_999_999_999_999L;

    @Test
    void eachPeriodHasTheSumsOfItsPayments() {
        Random random = new Random(20);
        Map<String, long[]> expected = new HashMap<>();
        byte[] packed = null;
        for (int i = 0; i < PAYMENTS; i++) {
            LocalDate day = LocalDate.of(2024, 1, 1).plusDays(random.nextInt(366));
            long cents = random.nextInt(10) == 0 ? -MOST_CENTS / 2 : random.nextInt(100_000);
            long quantity = random.nextInt(3) - 1L;
            long timeMs = day.toEpochDay() * 86_400_000 + random.nextInt(86_400_000);
            YearOfSums sums = new YearOfSums(packed);
            for (YearOfSums.Sum sum : sums.add(day, cents, quantity, timeMs)) {
                long[] of = expected.computeIfAbsent(
                    sum.granularity() + sum.last(), each -> new long[] {0, 0, 0, Long.MIN_VALUE});
                of[0]++;
                of[1] += cents;
                of[2] += quantity;
                of[3] = Math.max(of[3], timeMs);
                assertArrayEquals(of, new long[] {sum.count(), sum.cents(), sum.quantity(), sum.latestMs()}, sum.toString());
            }
            packed = sums.packed();
        }
        assertEquals(1 + 12 + 366, expected.size());
        assertTrue(packed.length < 379 * 24, packed.length + " bytes");
    }

    @Test
    void aPeriodIsNamedByItsLastDay() {
        YearOfSums.Sum[] leap = new YearOfSums(null).add(LocalDate.of(2024, 2, 29), 1, 1, 0);
        assertEquals("day 2024-02-29, month 2024-02-29, year 2024-12-31", named(leap));
        YearOfSums.Sum[] last = new YearOfSums(null).add(LocalDate.of(2023, 12, 31), 1, 1, 0);
        assertEquals("day 2023-12-31, month 2023-12-31, year 2023-12-31", named(last));
    }

    @Test
    void aFewPaymentsTakeFewBytes() {
        YearOfSums sums = new YearOfSums(null);
        sums.add(LocalDate.of(2025, 1, 15), 1397, 1, 1_736_937_000_000L);
        assertTrue(sums.packed().length <= 2 + 3 * 14, sums.packed().length + " bytes");
    }

    @Test
    void theExtremesOfNumbersComeBack() {
        YearOfSums sums = new YearOfSums(null);
        sums.add(LocalDate.of(1970, 1, 1), -MOST_CENTS, -999_999_999, -1_800_000);
        YearOfSums.Sum day = new YearOfSums(sums.packed()).add(LocalDate.of(1970, 1, 1), 0, 0, -1_900_000)[0];
        assertEquals(-MOST_CENTS, day.cents());
        assertEquals(-999_999_999, day.quantity());
        assertEquals(-1_800_000, day.latestMs());
        assertEquals(2, day.count());
    }

    @Test
    void anotherFormatIsRefused() {
        assertThrows(IllegalArgumentException.class, () -> new YearOfSums(new byte[] {2, 0}));
    }

    private static String named(YearOfSums.Sum[] sums) {
        StringBuilder out = new StringBuilder();
        for (YearOfSums.Sum sum : sums) {
            out.append(out.isEmpty() ? "" : ", ").append(sum.granularity()).append(' ').append(sum.last());
        }
        return out.toString();
    }
}
