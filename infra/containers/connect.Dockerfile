# Kafka Connect with the Debezium version of infra/pom.xml.
FROM maven:3.9.9-eclipse-temurin-17 AS jars
COPY pom.xml /build/pom.xml
RUN mvn -B -ntp -q -f /build/pom.xml -P debezium \
    org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
    -DincludeScope=runtime -DoutputDirectory=/build/debezium

FROM apache/kafka:4.3.1
COPY --from=jars /build/debezium /opt/user-profile/plugins/debezium
COPY containers/connect.properties /opt/user-profile/worker.properties
CMD ["/opt/kafka/bin/connect-distributed.sh", "/opt/user-profile/worker.properties"]
