"""Sessions, connections and continuations: what an application that knows Migrate uses."""
