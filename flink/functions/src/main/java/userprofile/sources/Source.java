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
     */
    record Reading(Node event, String eventId, long occurredMicros, List<Fault> faults) {
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
        contract = new Contract(resource(topic, "schema.json"), forms);
        mapping = new Mapping(resource(topic, "mapping.json"));
    }

    /** Reads one record; never throws for its bytes. `arrivalMs`: when the broker took it. */
    Reading read(byte[] value, long arrivalMs) {
        Node event;
        try {
            event = reader.read(value);
        } catch (Refused refused) {
            return refused("", refused.getMessage());
        }
        List<Fault> faults = contract.apply(event, arrivalMs);
        if (!faults.isEmpty() && faults.get(0).part() == null) {
            return new Reading(null, null, 0, faults);
        }
        Node id = mapping.id.find(event, null);
        Node time = mapping.time.find(event, null);
        if (id == null || time == null) {
            return refused("", "no event id or time, which its contract has to require");
        }
        return new Reading(event, id.normal, Long.parseLong(time.normal), faults);
    }

    /** The normalised records of a reading. No later than the broker took the event, whatever its own clock said. */
    List<Mapping.Written> records(Reading reading, long arrivalMs) {
        long timestamp = Math.min(Math.floorDiv(reading.occurredMicros, 1000L), arrivalMs);
        return mapping.records(reading.event, reading.eventId, reading.occurredMicros, timestamp);
    }

    private static Reading refused(String path, String reason) {
        return new Reading(null, null, 0, List.of(new Fault(path, reason, null)));
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
