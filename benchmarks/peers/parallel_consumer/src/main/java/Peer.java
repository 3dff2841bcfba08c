import io.confluent.parallelconsumer.ParallelConsumerOptions;
import io.confluent.parallelconsumer.vertx.VertxParallelEoSStreamProcessor;
import io.vertx.core.Future;
import io.vertx.core.Promise;
import io.vertx.core.Vertx;
import io.vertx.core.buffer.Buffer;
import io.vertx.core.json.JsonObject;
import io.vertx.ext.web.client.HttpResponse;
import io.vertx.ext.web.client.WebClient;
import io.vertx.ext.web.client.WebClientOptions;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/** The job with Confluent Parallel Consumer and Vert.x: ordered by key, not blocking, at least once. */
public final class Peer {
  private static final int IN_FLIGHT = Integer.parseInt(setting("UPSTREAM_MAX_CONCURRENCY"));
  private static final String EVENTS = setting("EVENTS_TOPIC");
  private static final String TOKEN = "Bearer " + setting("UPSTREAM_TOKEN");

  private final WebClient web;
  private final KafkaProducer<String, String> producer;

  private Peer(WebClient web, KafkaProducer<String, String> producer) {
    this.web = web;
    this.producer = producer;
  }

  public static void main(String[] arguments) {
    var upstream = URI.create(setting("UPSTREAM_BASE_URL"));
    var vertx = Vertx.vertx();
    var web =
        WebClient.create(
            vertx,
            new WebClientOptions()
                .setDefaultHost(upstream.getHost())
                .setDefaultPort(upstream.getPort())
                .setMaxPoolSize(IN_FLIGHT)
                .setHttp2MaxPoolSize(IN_FLIGHT));
    var options =
        ParallelConsumerOptions.<String, String>builder()
            .ordering(ParallelConsumerOptions.ProcessingOrder.KEY)
            .maxConcurrency(IN_FLIGHT)
            .commitMode(ParallelConsumerOptions.CommitMode.PERIODIC_CONSUMER_ASYNCHRONOUS)
            .consumer(new KafkaConsumer<>(consumerSettings(), new StringDeserializer(), new StringDeserializer()))
            .build();
    var peer = new Peer(web, new KafkaProducer<>(producerSettings(), new StringSerializer(), new StringSerializer()));
    var processor = new VertxParallelEoSStreamProcessor<String, String>(vertx, web, options);
    processor.subscribe(List.of(setting("COMMANDS_TOPIC")));
    processor.vertxFuture(context -> peer.settle(context.getSingleConsumerRecord()));
  }

  private Future<?> settle(ConsumerRecord<String, String> command) {
    var path = "/customers/" + command.key();
    var changes = new JsonObject(command.value()).getJsonObject("changes");
    return web.get(path)
        .putHeader("Authorization", TOKEN)
        .send()
        .compose(
            read -> {
              var customer = read.bodyAsJsonObject();
              var body = new JsonObject();
              for (var name : List.of("name", "email", "tags")) {
                body.put(name, customer.getValue(name));
              }
              return web.patch(path).putHeader("Authorization", TOKEN).sendJsonObject(body.mergeIn(changes));
            })
        .compose(written -> publish(command, written));
  }

  private Future<Void> publish(ConsumerRecord<String, String> command, HttpResponse<Buffer> written) {
    var id = command.topic() + ":" + command.partition() + ":" + command.offset();
    var event = new ProducerRecord<>(EVENTS, command.key(), written.bodyAsJsonObject().encode());
    event.headers().add(header("ce_specversion", "1.0")).add(header("ce_type", "customer.updated"));
    event.headers().add(header("ce_source", "peer")).add(header("ce_id", id)).add(header("ce_subject", command.key()));
    event.headers().add(header("ce_causationid", id)).add(header("content-type", "application/json"));
    Promise<Void> sent = Promise.promise();
    producer.send(event, (metadata, error) -> finish(sent, error));
    return sent.future();
  }

  private static void finish(Promise<Void> sent, Exception error) {
    if (error == null) {
      sent.complete();
    } else {
      sent.fail(error);
    }
  }

  private static RecordHeader header(String name, String value) {
    return new RecordHeader(name, value.getBytes(StandardCharsets.UTF_8));
  }

  private static Properties consumerSettings() {
    var settings = new Properties();
    settings.put("bootstrap.servers", setting("KAFKA_BOOTSTRAP_SERVERS"));
    settings.put("group.id", setting("KAFKA_GROUP_ID"));
    settings.put("enable.auto.commit", "false");
    settings.put("auto.offset.reset", "earliest");
    settings.put("isolation.level", "read_committed");
    return settings;
  }

  private static Properties producerSettings() {
    var settings = new Properties();
    settings.put("bootstrap.servers", setting("KAFKA_BOOTSTRAP_SERVERS"));
    return settings;
  }

  private static String setting(String name) {
    return System.getenv(name);
  }
}
