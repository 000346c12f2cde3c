package userprofile.sources;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** A record becomes records, faults of its parts, or one fault of the whole. */
class SourceTest {
    private static final long ARRIVAL_MS = 1_750_000_000_000L;
    private static final String CDP = "{\"message_id\":\"m\",\"timestamp\":\"1997-01-01T00:00:00Z\",\"user_id\":\"u\"%s}";
    private static final String CRM =
        "{\"Id\":\"c\",\"Timestamp\":\"1997-01-01T00:00:00Z\",\"Customer\":{\"ExternalRef\":\"u\",\"Status\":\"ACTIVE\"%s}%s}";
    private static final String PAYMENT =
        "{\"event_id\":\"p\",%s,\"amount_cents\":1,\"quantity\":1,\"occurred_at\":\"1997-01-01T00:00:00Z\"}";

    private static Source.Reading read(String topic, byte[] value) {
        return new Source(topic, new Forms("BR")).read(value, ARRIVAL_MS, true);
    }

    private static Source.Reading read(String topic, String value) {
        return read(topic, value.getBytes(StandardCharsets.UTF_8));
    }

    private static String words(Source.Reading reading) {
        return reading.faults().stream().map(Fault::inWords).collect(Collectors.joining("; "));
    }

    private static List<String> fields(Source.Reading reading) {
        return reading.records().stream()
            .map(each -> each.body().replaceAll(".*\"(field_name|relation_type)\":\"([^\"]+)\".*", "$2")).sorted().toList();
    }

    @ParameterizedTest
    @ValueSource(strings = {"{}{}", "{} {\"a\":1}", "{}]", "{} x", "{}\0"})
    void oneRecordIsOneValue(String rest) {
        assertNull(read("cdp.events", CDP.formatted("") + rest.substring(2)).event());
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', value = {
        "{\"a\":1,\"a\":2} | a: the name comes twice in one object",
        "{\"x\":[{\"b\":1,\"b\":1}]} | x[0].b: the name comes twice in one object",
        "{\"x\":[\"\\ud800\"]} | x[0]: holds half of a surrogate pair, which is no character",
        "{\"x\":\"\\udc00\\ud800\"} | x: holds half of a surrogate pair, which is no character",
        "{\"\\ud83d\":1} | holds half of a surrogate pair",
        "{\"x\":\"\\u0000\"} | x: holds U+0000, which can't be stored",
        "{\"x\":1e9999} | x: a number whose exponent has more than three digits",
        "[] | the value is not a JSON object", "{\"broken\": | the value is not JSON", "{'a':1} | the value is not JSON",
        "{\"x\":NaN} | the value is not JSON", "{\"x\":01} | the value is not JSON", "{\"x\":1,} | the value is not JSON"})
    void whatParsersDifferOnIsRefused(String value, String reason) {
        Source.Reading reading = read("cdp.events", value);
        assertNull(reading.event());
        assertTrue(words(reading).contains(reason), words(reading));
    }

    @Test
    void aTopicWithoutAContractIsKnownAsOne() {
        assertTrue(Source.hasContract("crm.events"));
        assertFalse(Source.hasContract("removed.events"));
    }

    @Test
    void bytesThatAreNotUtf8AreRefused() {
        for (byte[] bytes : new byte[][] {{'{', (byte) 0xff, '}'}, {'"', (byte) 0xc0, (byte) 0x80, '"'},
            {'"', (byte) 0xed, (byte) 0xa0, (byte) 0x80, '"'}, {'"', (byte) 0xe2, (byte) 0x82}}) {
            assertTrue(words(read("cdp.events", bytes)).startsWith("the value is not UTF-8"));
        }
        assertEquals("the record has no value (a tombstone)", words(read("cdp.events", (byte[]) null)));
        assertEquals("the value is nested deeper than 64 levels", words(read("cdp.events", "{\"x\":" + "[".repeat(70))));
        assertEquals("the value is longer than 524,288 bytes", words(read("cdp.events", "x".repeat(524_289))));
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', value = {
        "\"traits\":{} | traits: expected a list, got an object",
        "\"traits\":\"vip\" | traits: expected a list, got a text",
        "\"segments\":\"\" | segments: expected a list, got a text",
        "\"segments\":[\"vip\"] | segments[0]: expected an object, got a text",
        "\"segments\":[{\"id\":\"s\",\"affinity\":\"00.5\"}] | segments[0].affinity: expected a number of up to 15 digits before the point and after it",
        "\"devices\":[{\"id\":\"d\",\"platform\":1}] | devices[0].platform: expected a text, got a number",
        "\"origin\":[] | origin: expected a text, got a list"})
    void anOptionalPartOfAnotherShapeIsLeftOutWithItsReason(String member, String reason) {
        Source.Reading reading = read("cdp.events", CDP.formatted("," + member + ",\"devices_\":1"));
        assertEquals(reason, words(reading));
        assertEquals("u", reading.event().get("user_id").normal);
    }

    @ParameterizedTest
    @ValueSource(strings = {"\"segments\":null", "\"traits\":null,\"devices\":null", "\"traits\":[{\"name\":\"n\",\"value\":null}]",
        "\"other\":{\"x\":[]}"})
    void nullAndWhatNobodyKnowsTellNothing(String member) {
        Source.Reading reading = read("cdp.events", CDP.formatted("," + member));
        assertEquals(List.of(), reading.faults());
        assertEquals(List.of(), fields(reading));
    }

    @Test
    void aListOfWhichAnItemWasLeftOutIsNoPropertyButItsOtherItemsAreRelationships() {
        Source.Reading reading = read("cdp.events", CDP.formatted(",\"segments\":[{\"id\":\"a\"},{\"id\":false}]"));
        assertEquals(List.of("in_segment"), fields(reading));
        assertEquals("segments[1]", reading.faults().get(0).part());
        assertEquals("segments[].id", reading.faults().get(0).place());
        assertEquals("m without segments[1]", reading.identity());
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', value = {
        ",\"EmailAddress\":[\"a@b\"] || Customer.EmailAddress: expected an e-mail address, got a list",
        ",\"Phone\":\"call me\" || Customer.Phone: expected a phone number",
        ",\"Name\":\"Ana\" || Customer.Name: expected an object, got a text",
        "|,\"Consent\":true | Consent: expected an object, got true",
        "|,\"Consent\":{\"Marketing\":1} | Consent.Marketing: expected true or false",
        "|,\"Manager\":\"Ana\" | Manager: expected an object, got a text",
        "|,\"Manager\":{\"Name\":\"Ana\"} | Manager.EmployeeId: missing"})
    void aCustomerKeepsWhatIsRight(String within, String beside, String reason) {
        Source.Reading reading = read("crm.events", CRM.formatted(within == null ? "" : within, beside == null ? "" : beside));
        assertEquals(reason, words(reading));
        assertEquals(List.of("status"), fields(reading));
    }

    @ParameterizedTest
    @ValueSource(strings = {"\"customer_id\":[\"u\"],\"account_id\":\"a\"", "\"customer_id\":false", "\"customer_id\":\"null\"",
        "\"customer_id\":0", "\"customer_id\":\" \"", "\"customer_id\":null", "\"x\":1"})
    void aPaymentIsRightAsAWholeOrRefused(String who) {
        Source.Reading reading = read("payment.events", PAYMENT.formatted(who));
        assertNull(reading.event());
        assertNull(reading.faults().get(0).part());
    }

    @Test
    void aBlankCustomerLeavesAPaymentToItsAccount() {
        assertEquals(List.of(), read("payment.events", PAYMENT.formatted("\"customer_id\":\"\",\"account_id\":\"a\"")).faults());
    }

    @Test
    void whatFollowsFromTheKindIsRequired() {
        String meta = "{\"meta\":{\"eventId\":\"a\",\"kind\":\"account.opened\",\"occurredAt\":1},%s}";
        assertEquals("owner: missing", words(read("account.events", meta.formatted("\"account\":{\"accountId\":\"a\"}"))));
        Source.Reading wrong = read("account.events", meta.formatted("\"account\":{\"accountId\":\"a\"},\"owner\":{\"customerId\":0}"));
        assertNull(wrong.event());
        assertTrue(words(wrong).startsWith("owner.customerId: expected a reference"), words(wrong));
    }

    @Test
    void moreThanAFewWrongPartsRefuseTheWhole() {
        Source.Reading reading = read("cdp.events", CDP.formatted(",\"traits\":[" + "1,".repeat(16) + "1]"));
        assertNull(reading.event());
        assertEquals("traits[0]: expected an object, got a number (one of more than 16 parts that are wrong)", words(reading));
    }

    @Test
    void aMistakeOfAMappingIsADeadLetterAndStopsNothing() throws Refused {
        StrictReader reader = new StrictReader();
        Node schema = reader.read("{\"properties\":{\"id\":{\"format\":\"event-id\"},\"at\":{\"format\":\"date-time\"}}}".getBytes(StandardCharsets.UTF_8));
        Node mapping = reader.read("{\"id\":\"id\",\"time\":\"at\",\"time_digits\":3,\"write\":[{\"point\":\"a\",\"subject\":\"b\",\"grain\":\"c\",\"version\":\"d\",\"value\":\"e\"}]}".getBytes(StandardCharsets.UTF_8));
        Source source = new Source(new Contract(schema, new Forms("")), new Mapping(mapping));
        byte[] event = "{\"id\":\"x\",\"at\":\"1997-01-01T00:00:00Z\"}".getBytes(StandardCharsets.UTF_8);
        assertEquals("", words(source.read(event, ARRIVAL_MS, false)));
        Source.Reading reading = source.read(event, ARRIVAL_MS, true);
        assertNull(reading.event());
        assertTrue(words(reading).startsWith("the functions of flink/ failed at it (NullPointerException)"), words(reading));
    }

    @ParameterizedTest
    @CsvSource({"1969-12-31T23:59:59Z,before 1970", "2030-01-01T00:00:00Z,in the future: over 30 minutes after the record arrived"})
    void aMomentHasLimits(String moment, String reason) {
        assertEquals("timestamp: " + reason, words(read("cdp.events", CDP.formatted("").replace("1997-01-01T00:00:00Z", moment))));
    }
}
