import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.sun.management.OperatingSystemMXBean;
import java.lang.management.ManagementFactory;
import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * What the work of a Flink job costs without Flink: reads a topic, parses each record, writes as many records of the same
 * size, in transactions of a second with the offsets in them. Prints microseconds of CPU for each record after the warm-up.
 *
 * Arguments: brokers, topic, output topic, records of the warm-up, records that count, outputs of each, bytes of an output.
 */
public final class BareLoop {
    public static void main(String[] arguments) throws Exception {
        long warmUp = Long.parseLong(arguments[3]);
        long total = warmUp + Long.parseLong(arguments[4]);
        int outputs = Integer.parseInt(arguments[5]);
        byte[] body = new byte[Integer.parseInt(arguments[6])];
        JsonFactory json = new JsonFactory();
        OperatingSystemMXBean system = (OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
        Properties settings = new Properties();
        settings.put("bootstrap.servers", arguments[0]);
        settings.put("group.id", arguments[2] + "-bare");
        settings.put("isolation.level", "read_committed");
        settings.put("auto.offset.reset", "earliest");
        settings.put("enable.auto.commit", "false");
        settings.put("transactional.id", arguments[2] + "-bare");
        settings.put("compression.type", "lz4");
        try (var consumer = new KafkaConsumer<>(settings, new ByteArrayDeserializer(), new ByteArrayDeserializer());
            var producer = new KafkaProducer<>(settings, new ByteArraySerializer(), new ByteArraySerializer())) {
            consumer.subscribe(java.util.List.of(arguments[1]));
            producer.initTransactions();
            long seen = 0;
            long parsed = 0;
            long begun = system.getProcessCpuTime();
            while (seen < total) {
                producer.beginTransaction();
                long until = System.nanoTime() + 1_000_000_000L;
                Map<TopicPartition, OffsetAndMetadata> offsets = new HashMap<>();
                while (System.nanoTime() < until && seen < total) {
                    for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(100))) {
                        try (JsonParser parser = json.createParser(record.value())) {
                            while (parser.nextToken() != null) {
                                parsed += parser.currentToken().isScalarValue() ? parser.getText().length() : 0;
                            }
                        }
                        for (int i = 0; i < outputs; i++) {
                            System.arraycopy(record.value(), 0, body, 0, Math.min(body.length, record.value().length));
                            producer.send(new ProducerRecord<>(arguments[2], record.key(), body.clone()));
                        }
                        offsets.put(new TopicPartition(record.topic(), record.partition()), new OffsetAndMetadata(record.offset() + 1));
                        if (++seen == warmUp) {
                            begun = system.getProcessCpuTime();
                        }
                    }
                }
                producer.sendOffsetsToTransaction(offsets, consumer.groupMetadata());
                producer.commitTransaction();
            }
            System.out.println((system.getProcessCpuTime() - begun) / 1_000.0 / (total - warmUp) + " " + parsed);
        }
    }
}
