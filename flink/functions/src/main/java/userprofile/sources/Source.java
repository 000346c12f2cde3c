package userprofile.sources;

import java.io.IOException;
import java.io.InputStream;
import java.util.List;

/** A source topic: its contract, and what is written for its events. One per thread. */
final class Source {
    /**
     * What one record is.
     *
     * @param event what is left of it, in normal forms; null where the whole event can't be used
     * @param eventId of the source; null with the event
     * @param occurredMicros of the event, microseconds since 1970
     * @param faults what is wrong with it: the whole event, or parts of it that were left out
     * @param records what is to be written for it, where that was asked for
     */
    record Reading(Node event, String eventId, long occurredMicros, List<Fault> faults, List<Mapping.Written> records) {
        /** What its duplicates bear, too. An event with other parts left out is another one: sent again, it may be whole. */
        String identity() {
            StringBuilder out = new StringBuilder(eventId);
            faults.forEach(fault -> out.append(" without ").append(fault.part()));
            return out.toString();
        }
    }

    final Mapping mapping;
    private final Contract contract;
    private final StrictReader reader = new StrictReader();

    /** `topic`: without a prefix. Throws IllegalArgumentException where it has no contract, or one that can't be used. */
    Source(String topic, Forms forms) {
        this(new Contract(resource(topic, "schema.json"), forms), new Mapping(resource(topic, "mapping.json")));
    }

    /** Whether the jar has a contract of this topic, which is without a prefix. */
    static boolean hasContract(String topic) {
        return Source.class.getResource("/contracts/" + topic + "/schema.json") != null;
    }

    Source(Contract contract, Mapping mapping) {
        this.contract = contract;
        this.mapping = mapping;
    }

    /**
     * Reads one record; `arrivalMs`: when the broker took it, `write`: whether its records are asked for.
     *
     * Never throws: a job that fails at a record would fail at it again after each restart. So a mistake of a mapping or of
     * these functions is a dead letter, too.
     */
    Reading read(byte[] value, long arrivalMs, boolean write) {
        try {
            return readStrictly(value, arrivalMs, write);
        } catch (Refused refused) {
            return refused(refused.getMessage());
        } catch (RuntimeException | StackOverflowError mistake) {
            return refused("the functions of flink/ failed at it (" + mistake.getClass().getSimpleName() + "), which is their mistake");
        }
    }

    private Reading readStrictly(byte[] value, long arrivalMs, boolean write) throws Refused {
        Node event = reader.read(value);
        List<Fault> faults = contract.apply(event, arrivalMs);
        if (!faults.isEmpty() && faults.get(0).part() == null) {
            return new Reading(null, null, 0, faults, List.of());
        }
        Node id = mapping.id.find(event, null);
        Node time = mapping.time.find(event, null);
        if (id == null || time == null) {
            return refused("no event id or time, which its contract has to require");
        }
        long micros = Long.parseLong(time.normal);
        // No later than the broker took the event, whatever its own clock said.
        long timestamp = Math.min(Math.floorDiv(micros, 1000L), arrivalMs);
        List<Mapping.Written> records = write ? mapping.records(event, id.normal, micros, timestamp) : List.of();
        return new Reading(event, id.normal, micros, faults, records);
    }

    private static Reading refused(String reason) {
        return new Reading(null, null, 0, List.of(new Fault("", reason, null)), List.of());
    }

    private static Node resource(String topic, String name) {
        String path = "/contracts/" + topic + "/" + name;
        try (InputStream found = Source.class.getResourceAsStream(path)) {
            if (found == null) {
                throw new IllegalArgumentException("there is no " + path + " in the jar of the functions");
            }
            return new StrictReader().read(found.readAllBytes());
        } catch (IOException | Refused error) {
            throw new IllegalArgumentException(path + " can't be read: " + error.getMessage(), error);
        }
    }
}
