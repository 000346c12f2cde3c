import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import java.io.IOException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
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
 * size, in transactions of a second with the offsets in them. Prints microseconds of CPU for each record after the warm-up,
 * without those of the JVM's compilers.
 *
 * Arguments: brokers, topic, output topic, records of the warm-up, records that count, outputs of each, bytes of an output,
 * a name of its own, for the group and its transactions.
 */
public final class BareLoop {
    public static void main(String[] arguments) throws Exception {
        long warmUp = Long.parseLong(arguments[3]);
        long total = warmUp + Long.parseLong(arguments[4]);
        int outputs = Integer.parseInt(arguments[5]);
        byte[] body = new byte[Integer.parseInt(arguments[6])];
        JsonFactory json = new JsonFactory();
        Properties settings = new Properties();
        settings.put("bootstrap.servers", arguments[0]);
        settings.put("group.id", arguments[7]);
        settings.put("isolation.level", "read_committed");
        settings.put("auto.offset.reset", "earliest");
        settings.put("enable.auto.commit", "false");
        settings.put("transactional.id", arguments[7]);
        settings.put("compression.type", "lz4");
        try (var consumer = new KafkaConsumer<>(settings, new ByteArrayDeserializer(), new ByteArrayDeserializer());
            var producer = new KafkaProducer<>(settings, new ByteArraySerializer(), new ByteArraySerializer())) {
            consumer.subscribe(java.util.List.of(arguments[1]));
            producer.initTransactions();
            long seen = 0;
            long parsed = 0;
            double begun = cpuSeconds();
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
                            begun = cpuSeconds();
                        }
                    }
                }
                producer.sendOffsetsToTransaction(offsets, consumer.groupMetadata());
                producer.commitTransaction();
            }
            System.out.println((cpuSeconds() - begun) * 1e6 / (total - warmUp) + " " + parsed);
        }
    }

    /** Of this process without the compilers of the JVM, which are over once it is warm: proc(5), in ticks of 10 ms. */
    private static double cpuSeconds() throws IOException {
        long ticks = 0;
        try (DirectoryStream<Path> tasks = Files.newDirectoryStream(Path.of("/proc/self/task"))) {
            for (Path task : tasks) {
                String stat = Files.readString(task.resolve("stat"));
                String[] fields = stat.substring(stat.lastIndexOf(')') + 2).split(" ");
                if (!stat.contains("CompilerThre")) {
                    ticks += Long.parseLong(fields[11]) + Long.parseLong(fields[12]);
                }
            }
        }
        return ticks / 100.0;
    }
}
