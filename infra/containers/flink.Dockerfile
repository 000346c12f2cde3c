# Flink with the Kafka connector of infra/pom.xml; the image brings the SQL client and its gateway.
FROM maven:3.9.9-eclipse-temurin-17 AS jars
COPY pom.xml /build/pom.xml
RUN mvn -B -ntp -q -f /build/pom.xml -P flink-connector \
    org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
    -DincludeScope=runtime -DoutputDirectory=/build/lib

FROM flink:2.2.1-java17
COPY --from=jars /build/lib/*.jar /opt/flink/lib/
# The image ends as the user flink, who may not make a directory there.
USER root
RUN install -d -o flink -g flink /checkpoints
USER flink
# The image's sizes of whole processes would contradict those of their parts, which compose.yaml sets.
RUN bash bin/config-parser-utils.sh conf bin lib \
    -rmKV jobmanager.memory.process.size=1600m -rmKV taskmanager.memory.process.size=1728m \
    && ! grep -A3 memory conf/config.yaml | grep -q process
