# Sourced by the scripts that start a broker on the Java virtual machine, for tests.
# `broker_classpath` resolves the broker from its Maven artifact by name, once per user.
# shellcheck shell=bash

cache=${XDG_CACHE_HOME:-$HOME/.cache}/milvus-coord/brokers

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }

die() {
    say "$*"
    exit 1
}

# Java 17 or newer, and the jars; exits with what to do when one is missing.
need_java() {
    command -v java >/dev/null || die "needs Java 17 or newer (Debian: openjdk-17-jre-headless)"
}

# classpath_file NAME VERSION: where the resolved class path is kept.
classpath_file() { printf '%s/%s-%s.classpath\n' "$cache" "$1" "$2"; }

# have_jars NAME VERSION: whether everything is here, so that a broker starts without a download.
have_jars() {
    local file jar jars
    file=$(classpath_file "$1" "$2")
    [[ -s $file ]] || return 1
    IFS=: read -ra jars <"$file"
    for jar in "${jars[@]}"; do
        [[ -e $jar ]] || return 1
    done
}

# fetch_jars NAME VERSION BOM GROUP:ARTIFACT:VERSION...: resolve and keep the class path.
# BOM, which may be empty, is a pom whose list of versions holds for all dependencies.
fetch_jars() {
    local name=$1 version=$2 bom=$3 folder managed='' wanted='' each
    have_jars "$name" "$version" && return
    command -v mvn >/dev/null || die "needs Maven to fetch ${*:4} (Debian: maven)"
    say "resolving ${*:4}"
    [[ -z $bom ]] || managed="<dependencyManagement><dependencies><dependency>$(gav "$bom")<type>pom</type><scope>import</scope></dependency></dependencies></dependencyManagement>"
    for each in "${@:4}"; do
        wanted+="<dependency>$(gav "$each")</dependency>"
    done
    folder=$(mktemp -d)
    # shellcheck disable=SC2064 # the folder of now
    trap "rm -rf '$folder'" EXIT
    cat >"$folder/pom.xml" <<POM
<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>milvus-coord</groupId><artifactId>$name</artifactId><version>1</version><packaging>pom</packaging>
$managed<dependencies>$wanted</dependencies>
</project>
POM
    mvn -B -q -f "$folder/pom.xml" dependency:build-classpath "-Dmdep.outputFile=$folder/classpath" >&2 ||
        die "Maven cannot resolve ${*:4}"
    mkdir -p "$cache"
    mv "$folder/classpath" "$(classpath_file "$name" "$version")"
    rm -rf "$folder"
    trap - EXIT
}

# gav GROUP:ARTIFACT:VERSION: the same in a pom's words.
gav() {
    local group artifact version
    IFS=: read -r group artifact version <<<"$1"
    printf '<groupId>%s</groupId><artifactId>%s</artifactId><version>%s</version>' "$group" "$artifact" "$version"
}
