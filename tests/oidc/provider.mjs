// A company's OpenID Connect provider: oidc-provider with its own forms for signing in and consenting.
// node provider.mjs PORT CALLBACK. Whoever signs in has the e-mail address they typed; one that begins with
// "unverified" is not vouched for.
import { Provider } from "oidc-provider";

const [port, callback] = process.argv.slice(2);

const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [
    {
      client_id: "megadash",
      client_secret: "a secret between the two",
      redirect_uris: [callback],
      token_endpoint_auth_method: "client_secret_post",
    },
  ],
  claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["name"] },
  findAccount: (_context, email) => ({
    accountId: email,
    claims: () => ({ sub: email, email, email_verified: !email.startsWith("unverified"), name: "From the company" }),
  }),
});

provider.listen(Number(port), "127.0.0.1");
