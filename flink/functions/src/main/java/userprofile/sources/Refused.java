package userprofile.sources;

/** Why a record can't be used as a whole; the message is a sentence for people. */
final class Refused extends Exception {
    private static final long serialVersionUID = 1L;

    Refused(String reason) {
        super(reason, null, false, false);
    }
}
