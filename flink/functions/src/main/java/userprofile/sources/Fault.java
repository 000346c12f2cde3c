package userprofile.sources;

/**
 * What is wrong with an event.
 *
 * @param path where, such as traits[3].name; of the whole record it is empty
 * @param reason in words
 * @param part the path of what is left out because of it; null where that is the whole event
 */
record Fault(String path, String reason, String part) {
    /** The reason of a dead letter, with its path. */
    String inWords() {
        return path.isEmpty() ? reason : path + ": " + reason;
    }

    /** The path without the numbers of items: the place in the contract. */
    String place() {
        return path.replaceAll("\\[[0-9]+]", "[]");
    }
}
