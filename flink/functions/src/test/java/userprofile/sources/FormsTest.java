package userprofile.sources;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** The normal form of each format. */
class FormsTest {
    private static final Forms FORMS = new Forms("BR");

    private static String form(String format, String text) {
        return FORMS.of(format, new Node(Node.Kind.STRING, text));
    }

    @ParameterizedTest
    @ValueSource(strings = {"joao@email.com", " Joao@Email.com", "\tJOAO@email.com\r\n", "\u00a0joao@email.com\u2003",
        "\u200bjoao@email.com\ufeff", "\u2060joao@EMAIL.com"})
    void blanksOfAnyScriptAndCaseMakeNoOtherAddress(String text) {
        assertEquals("joao@email.com", form("email", text));
    }

    @Test
    void aLetterAndItsMarkAreOneSign() {
        assertEquals("jos\u00e9@email.com", form("email", "jose\u0301@email.com"));
        assertEquals("Jo\u00e3o Silva", form("name", " Joa\u0303o\u00a0\t Silva "));
    }

    @ParameterizedTest
    @ValueSource(strings = {"joao", "joao@", "@email.com", "jo ao@email.com", "jo\u200bao@email.com", "a@b@c", "a@b\u00a0c"})
    void whatIsNoAddressHasNoForm(String text) {
        assertNull(form("email", text));
    }

    @ParameterizedTest
    @CsvSource({"+55 (11) 93491-0701,+5511934910701", "11 93491-0701,+5511934910701", "(011) 3333-4444,+551133334444",
        "+1 650-253-0000,+16502530000", "+44 20 7031 3000,+442070313000", "'',''", "'  ',''"})
    void aPhoneNumberHasItsCountry(String text, String expected) {
        assertEquals(expected, form("phone", text));
    }

    @ParameterizedTest
    @ValueSource(strings = {"123", "call me", "11934910701 / 1133334444", "+55 11 93491-0701 +55 11 3333-4444", "+999 1234567", "0"})
    void whatIsNoPhoneNumberHasNoForm(String text) {
        assertNull(form("phone", text));
    }

    @Test
    void withoutACountryOfTheSettingsEachNumberHasToTellItsOwn() {
        Forms none = new Forms("");
        assertNull(none.phone("11 93491-0701"));
        assertEquals("+5511934910701", none.phone("+55 11 93491-0701"));
        assertThrows(IllegalArgumentException.class, () -> new Forms("XX"));
    }

    @ParameterizedTest
    @ValueSource(strings = {"", " ", "\u00a0", "\u200b", "null", "NULL", " None ", "undefined", "false", "true", "0", "NaN"})
    void aPlaceholderIsNobody(String text) {
        assertNull(form("reference", text));
    }

    @Test
    void aReferenceKeepsItsCaseAndHasABound() {
        assertEquals("User-1", form("reference", " User-1\n"));
        assertEquals("a".repeat(1024), form("reference", "a".repeat(1024)));
        assertNull(form("reference", "\u00e9".repeat(513)));
    }

    @ParameterizedTest
    @CsvSource({"1397,1397", "-97,-97", "1397.0,1397", "1.397e3,1397", "1E0,1", "0,0", "100000000000000,100000000000000"})
    void anIntegerIsOneHoweverItIsWritten(String text, String expected) {
        assertEquals(expected, form("integer", text));
    }

    @ParameterizedTest
    @ValueSource(strings = {"1397.5", "1e-3", "1e15", "1e999", "x", "", " 1", "1,5", "0x1"})
    void whatIsNoIntegerHasNoForm(String text) {
        assertNull(form("integer", text));
    }

    @ParameterizedTest
    @CsvSource({"CPF,123.456.789-09,'{\"number\":\"12345678909\",\"type\":\"cpf\"}'",
        "cnpj,12.abc.345/01DE-35,'{\"number\":\"12ABC34501DE35\",\"type\":\"cnpj\"}'"})
    void aDocumentLosesItsPunctuation(String kind, String value, String expected) {
        assertEquals(expected, FORMS.of("tax-id", document(kind, value)));
    }

    @ParameterizedTest
    @CsvSource({"CPF,1", "CPF,12345678901234", "CPF,123x456x789x09", "RG,12345678909", "CNPJ,12.abc.345/01DE-3X"})
    void whatIsNoDocumentHasNoForm(String kind, String value) {
        assertNull(FORMS.of("tax-id", document(kind, value)));
    }

    private static Node document(String kind, String value) {
        Node object = new Node(Node.Kind.OBJECT, null);
        object.add("kind", new Node(Node.Kind.STRING, kind));
        object.add("value", new Node(Node.Kind.STRING, value));
        return object;
    }
}
