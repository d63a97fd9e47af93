// Which web pages may talk to this broker. There is no authentication yet, so the browser's word (the Origin header) is
// what keeps a page that somebody merely visits from reaching the broker on the same machine.
//
// A page of the broker's own is told by Origin and Host being the same place. That alone would let a page in whose name
// was made to point to 127.0.0.1 after it was loaded (DNS rebinding): a broker that listens on loopback answers only to
// names that cannot be pointed elsewhere.

const LOOPBACK_NAME = /^(localhost|.*\.localhost|127(\.\d{1,3}){3}|\[::1\])$/;
const LOOPBACK_HOST = /^(localhost|127(\.\d{1,3}){3}|::1)$/;

export class Origins {
  private readonly allowed: ReadonlySet<string>;
  private readonly hosts: ReadonlySet<string>;
  private readonly onLoopback: boolean;

  /** `host`: what the broker listens on. */
  constructor(origins: readonly string[], host: string) {
    this.allowed = new Set(origins.map((origin) => origin.toLowerCase().replace(/\/$/, '')));
    this.hosts = new Set(origins.map(hostOf));
    this.onLoopback = LOOPBACK_HOST.test(host);
  }

  /** True if the request was meant for this broker by somebody who knows its name. */
  knowsHost(host: string): boolean {
    if (!this.onLoopback || host === '' || this.allowed.has('*')) return true;
    const lower = host.toLowerCase();
    return LOOPBACK_NAME.test(lower.replace(/:\d+$/, '')) || this.hosts.has(lower);
  }

  /** True if a page of this origin may do as it likes. No Origin: no page. */
  allows(origin: string, host: string): boolean {
    return origin === '' || this.isListed(origin) || (hostOf(origin) === host.toLowerCase() && this.knowsHost(host));
  }

  /** True if it stands in the configuration. */
  isListed(origin: string): boolean {
    return this.allowed.has('*') || this.allowed.has(origin.toLowerCase());
  }
}

function hostOf(origin: string): string {
  try {
    return new URL(origin).host.toLowerCase();
  } catch {
    return '';
  }
}
