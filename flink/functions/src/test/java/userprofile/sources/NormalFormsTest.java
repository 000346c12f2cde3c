package userprofile.sources;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.nio.charset.StandardCharsets;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Stored values in today's forms. What is in its form already stays as it is. */
class NormalFormsTest {
    private final Forms forms = new Forms("BR");
    private final StrictReader reader = new StrictReader();

    @ParameterizedTest
    @CsvSource(delimiter = '|', quoteCharacter = '~', value = {
        "email|\" Joao@Email.com\\t\"|\"joao@email.com\"", "email|\"joao@email.com\"|\"joao@email.com\"",
        "phone|\"11 93491-0701\"|\"+5511934910701\"", "phone|\"+5511934910701\"|\"+5511934910701\"",
        "name|\"João \\t Silva\"|\"João Silva\"", "lower-case|\"ACTIVE\"|\"active\"",
        "lower-case|[\"PIX\",\"Visa\"]|[\"pix\",\"visa\"]", "lower-case|[]|[]",
        "tax-id|{\"type\":\"cpf\",\"number\":\"123.456.789-09\"}|{\"number\":\"12345678909\",\"type\":\"cpf\"}"})
    void aValueGetsItsForm(String format, String stored, String expected) {
        assertEquals(expected, normal(format, stored));
        assertEquals(expected, normal(format, expected));
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', quoteCharacter = '~', value = {
        "phone|\"none\"", "phone|5", "email|[\"a@b.com\",\"x\"]", "email|{}", "tax-id|\"123\"", "tax-id|{\"type\":\"cpf\"}",
        "lower-case|\" \"", "lower-case|null", "name|true", "name|\"\\ud800\"", "name|x"})
    void whatIsNoneOfItsFormatHasNone(String format, String stored) {
        assertEquals("", normal(format, stored));
    }

    private String normal(String format, String stored) {
        return NormalForms.of(format, stored.getBytes(StandardCharsets.UTF_8), reader, forms);
    }
}
