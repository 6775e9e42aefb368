// Started in place of a tool's own class (`java -cp CLASSES Route.java Tool …`): from here on Java shows the
// proxy's password, which it takes from no option, whenever the proxy asks. The code does not notice.
//
// That is so for HttpURLConnection, and for what asks Java's default authenticator. HttpClient asks none but its
// own: its code puts `Proxy-Authorization` into each request.

import java.net.Authenticator;
import java.net.PasswordAuthentication;
import java.net.URI;
import java.util.Arrays;

public class Route {
    public static void main(String[] words) throws Exception {
        URI proxy = URI.create(System.getenv("HTTPS_PROXY"));
        String[] right = proxy.getUserInfo().split(":", 2);
        Authenticator.setDefault(new Authenticator() {
            @Override
            protected PasswordAuthentication getPasswordAuthentication() {
                boolean asked = getRequestorType() == RequestorType.PROXY
                        && getRequestingHost().equals(proxy.getHost())
                        && getRequestingPort() == proxy.getPort();
                return asked ? new PasswordAuthentication(right[0], right[1].toCharArray()) : null;
            }
        });
        String[] rest = Arrays.copyOfRange(words, 1, words.length);
        Class.forName(words[0]).getMethod("main", String[].class).invoke(null, (Object) rest);
    }
}
