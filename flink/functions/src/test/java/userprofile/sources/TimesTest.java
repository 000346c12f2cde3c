package userprofile.sources;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;

import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Moments and periods. */
class TimesTest {
    @ParameterizedTest
    @CsvSource({"1997-01-01T08:25:34Z,1997-01-01T08:25:34.000000Z", "1996-12-31T23:30:00.5-03:00,1997-01-01T02:30:00.500000Z",
        "1997-02-01T19:13:32.123456789+05:45,1997-02-01T13:28:32.123456Z", "2000-02-29T00:00:00-00:00,2000-02-29T00:00:00.000000Z",
        "2025-01-15T10:30:00+23:59,2025-01-14T10:31:00.000000Z"})
    void aMomentIsTheSameInUtc(String text, String expected) {
        assertEquals(expected, Times.text(Times.micros(text), 6));
    }

    @ParameterizedTest
    @ValueSource(strings = {"1997-02-30T00:00:00Z", "1997-01-01T00:00:00", "1997-01-01T00:00:00.Z", "1997-01-01T00:00:00.0123456789Z",
        "1997-01-01T00:00:00+24:00", "1997-01-01T00:00:00+00:60", "1997-01-01T00:00:00-03:99", "1997-01-01", "1997-01-01T24:00:00Z",
        "1997-01-01T00:00:60Z", "1997-01-01t00:00:00z", "1997-01-01T00:00:00+0300", "1997-01-01T00:00:00+03", "", "1997-1-01T00:00:00Z",
        "1997-01-01T00:00:00Z ", "0000-01-01T00:00:00Z", "1997-13-01T00:00:00Z"})
    void whatIsNoMomentIsRefused(String text) {
        assertNull(Times.micros(text));
    }

    @ParameterizedTest
    @CsvSource({"day,1996-02-29,1996-02-29", "week,1998-W53,1999-01-03", "week,1997-W01,1997-01-05", "month,1997-02,1997-02-28",
        "quarter,1997-Q4,1997-12-31", "year,1997,1997-12-31"})
    void aPeriodEndsInItsLastInstant(String granularity, String label, String expected) {
        assertEquals(expected + "T23:59:59.999999Z", Times.lastInstant(granularity, label));
    }

    @ParameterizedTest
    @CsvSource({"day,1997-02-29", "week,1997-W53", "week,1997-W00", "month,1997-13", "quarter,1997-Q5", "year,97", "day,1997-01", "year,0000"})
    void aLabelOfNoPeriodIsRefused(String granularity, String label) {
        assertNull(Times.lastInstant(granularity, label));
    }
}
