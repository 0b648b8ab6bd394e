// Submits one job to the module `press` from Java. The format is that of docs/record-format.md.
// java -cp "$KAFKA/libs/*" SubmitJob.java BROKERS NAMESPACE DOCUMENT COPIES
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.UUID;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringSerializer;

class SubmitJob {
  public static void main(String[] args) throws Exception {
    String brokers = args[0], namespace = args[1], document = args[2], copies = args[3];

    // Topic: namespace, module, and `work` for jobs or `events` for events.
    String topic = namespace + ".press.work";
    // Body: JSON, checked with the schema of the entry. MessagePack works as well.
    String body = "{\"document\": \"%s\", \"copies\": %s}".formatted(document, copies);
    // Header `bus`: version, kind, entry, id of the message, sender, and the stamp, which this producer does not keep.
    String header = "1 work press.print %s java -".formatted(UUID.randomUUID());

    // The defaults of the client are right: acks=all, no duplicates by resends, and the partition follows the key.
    var config = Map.<String, Object>of("bootstrap.servers", brokers);
    try (var producer = new KafkaProducer<>(config, new StringSerializer(), new StringSerializer())) {
      var record = new ProducerRecord<>(topic, document, body);
      record.headers().add("bus", header.getBytes(StandardCharsets.UTF_8));
      producer.send(record).get(); // returns when all in-sync replicas have the job
      System.out.println("submitted " + document);
    }
  }
}
