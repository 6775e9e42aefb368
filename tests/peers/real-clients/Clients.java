// Java's own HTTP clients, each used as its documentation says: Clients CLIENT ORIGIN
//
// The key comes from the environment. What came back is printed with all that this process knows of itself; then it
// waits, so that its memory can be searched, until its standard input ends.

import java.io.InputStream;
import java.net.HttpURLConnection;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

public class Clients {
    static final String ISSUE = "{\"title\": \"it's\"}";

    static String bearer() {
        return "Bearer " + System.getenv("GITHUB_TOKEN");
    }

    /** HttpURLConnection, as code uses it that knows nothing of proxies. */
    static List<Object> connection(String origin) throws Exception {
        List<Object> came = new ArrayList<>();
        for (String path : List.of("/user", "/repos/a/b/issues")) {
            var connection = (HttpURLConnection) URI.create(origin + path).toURL().openConnection();
            connection.setRequestProperty("Authorization", bearer());
            if (!path.equals("/user")) {
                connection.setDoOutput(true);
                connection.getOutputStream().write(ISSUE.getBytes(StandardCharsets.UTF_8));
            }
            came.add(connection.getResponseCode());
            try (InputStream body = connection.getInputStream()) {
                came.add(new String(body.readAllBytes(), StandardCharsets.UTF_8));
            }
            came.add(connection.getHeaderField("x-echo"));
        }
        return came;
    }

    /** HttpClient, which asks no authenticator but its own. */
    static List<Object> client(String origin, boolean shows) throws Exception {
        HttpClient client = HttpClient.newHttpClient();
        List<Object> came = new ArrayList<>();
        for (String path : List.of("/user", "/repos/a/b/issues")) {
            HttpRequest.Builder request = HttpRequest.newBuilder(URI.create(origin + path)).header("Authorization", bearer());
            if (shows) {
                byte[] right = URI.create(System.getenv("HTTPS_PROXY")).getUserInfo().getBytes(StandardCharsets.UTF_8);
                request.header("Proxy-Authorization", "Basic " + Base64.getEncoder().encodeToString(right));
            }
            if (!path.equals("/user")) {
                request.POST(HttpRequest.BodyPublishers.ofString(ISSUE));
            }
            HttpResponse<String> answer = client.send(request.build(), HttpResponse.BodyHandlers.ofString());
            came.add(answer.statusCode());
            came.add(answer.body());
            came.add(answer.headers().firstValue("x-echo").orElse(null));
            came.add(answer.version().toString());
        }
        return came;
    }

    static String json(Object value) {
        if (value == null || value instanceof Number) {
            return String.valueOf(value);
        }
        if (value instanceof List<?> list) {
            return "[" + String.join(",", list.stream().map(Clients::json).toList()) + "]";
        }
        if (value instanceof Map<?, ?> map) {
            return "{" + String.join(",", map.entrySet().stream().map(it -> json(it.getKey()) + ":" + json(it.getValue())).toList()) + "}";
        }
        StringBuilder text = new StringBuilder("\"");
        for (char letter : value.toString().toCharArray()) {
            text.append(letter < ' ' || letter > '~' || letter == '"' || letter == '\\' ? String.format("\\u%04x", (int) letter) : letter);
        }
        return text.append('"').toString();
    }

    public static void main(String[] words) throws Exception {
        List<Object> came = new ArrayList<>();
        int code = 0;
        try {
            came.addAll(words[0].equals("connection") ? connection(words[1]) : client(words[1], words[0].equals("client")));
        } catch (Exception error) { // whatever it is, the test is to see it
            came.addAll(List.of("failed", error.toString()));
            code = 1;
        }
        Map<String, Object> known = new TreeMap<>();
        ProcessHandle self = ProcessHandle.current();
        known.put("pid", self.pid());
        known.put("argv", List.of(self.info().arguments().orElse(new String[0])));
        known.put("env", System.getenv());
        known.put("came", came);
        System.out.println(json(known));
        System.in.readAllBytes();
        System.exit(code);
    }
}
