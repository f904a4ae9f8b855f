//! The routes of the HTTP API. Each path and method stands here once: the Workers match on the endpoints, and the `Allow`
//! header, the 404's text and the route names in logs are made from the same table.

use super::problem::Problem;
use CustomerEndpoint as Customer;
use DispatcherEndpoint as Dispatcher;

/// A path and the methods that it takes, each with the endpoint that serves it.
#[derive(Debug)]
pub struct Route<E: 'static> {
    /// The path, without a query.
    pub path: &'static str,
    /// The methods in the order in which `Allow` names them.
    pub methods: &'static [(&'static str, E)],
}

/// What the customer Worker serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CustomerEndpoint {
    /// `GET /`: which Worker answers.
    Health,
    /// `GET /files`: a file with `key`, a listing without.
    GetFiles,
    /// `POST /files`: a file in a form.
    UploadForm,
    /// `PUT /files`: a file as the body.
    UploadFile,
    /// `DELETE /files`.
    DeleteFile,
    /// `POST /files/uploads`: start a multipart upload.
    CreateUpload,
    /// `PUT /files/uploads`: a part.
    PutPart,
    /// `DELETE /files/uploads`.
    AbortUpload,
    /// `POST /files/uploads/complete`.
    CompleteUpload,
    /// `GET /data`: a value with `key`, a listing without.
    GetData,
    /// `POST /data`.
    SetData,
    /// `DELETE /data`.
    DeleteData,
    /// `GET /stats`.
    GetStats,
    /// `POST /db/query`.
    QueryDatabase,
    /// `POST /db/batch`.
    BatchDatabase,
}

/// The routes of the customer Worker.
pub const CUSTOMER_ROUTES: &[Route<CustomerEndpoint>] = &[
    Route { path: "/", methods: &[("GET", Customer::Health), ("HEAD", Customer::Health)] },
    Route {
        path: "/files",
        methods: &[
            ("GET", Customer::GetFiles),
            ("HEAD", Customer::GetFiles),
            ("POST", Customer::UploadForm),
            ("PUT", Customer::UploadFile),
            ("DELETE", Customer::DeleteFile),
        ],
    },
    Route {
        path: "/files/uploads",
        methods: &[("POST", Customer::CreateUpload), ("PUT", Customer::PutPart), ("DELETE", Customer::AbortUpload)],
    },
    Route { path: "/files/uploads/complete", methods: &[("POST", Customer::CompleteUpload)] },
    Route {
        path: "/data",
        methods: &[
            ("GET", Customer::GetData),
            ("HEAD", Customer::GetData),
            ("POST", Customer::SetData),
            ("DELETE", Customer::DeleteData),
        ],
    },
    Route { path: "/stats", methods: &[("GET", Customer::GetStats), ("HEAD", Customer::GetStats)] },
    Route { path: "/db/query", methods: &[("POST", Customer::QueryDatabase)] },
    Route { path: "/db/batch", methods: &[("POST", Customer::BatchDatabase)] },
];

/// What the dispatcher answers itself, for requests with and without a customer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DispatcherEndpoint {
    /// `GET /healthz`: whether the dispatcher runs, and which version.
    Healthz,
    /// `GET /openapi.json`: the API's description.
    OpenApi,
}

/// The routes of the dispatcher.
pub const DISPATCHER_ROUTES: &[Route<DispatcherEndpoint>] = &[
    Route { path: "/healthz", methods: &[("GET", Dispatcher::Healthz), ("HEAD", Dispatcher::Healthz)] },
    Route { path: "/openapi.json", methods: &[("GET", Dispatcher::OpenApi), ("HEAD", Dispatcher::OpenApi)] },
];

impl<E: Copy> Route<E> {
    /// The route with this path.
    #[must_use]
    pub fn find<'routes>(routes: &'routes [Self], path: &str) -> Option<&'routes Self> {
        routes.iter().find(|route| route.path == path)
    }

    /// The route with this path; 404 if there is none.
    pub fn require<'routes>(routes: &'routes [Self], path: &str) -> Result<&'routes Self, Problem> {
        Self::find(routes, path).ok_or_else(|| Self::not_found(routes))
    }

    /// The problem of a request to a path that none of the routes has.
    #[must_use]
    pub fn not_found(routes: &[Self]) -> Problem {
        let paths: Vec<&str> = routes.iter().map(|route| route.path).collect();
        Problem::not_found(&paths)
    }

    /// The endpoint for a method; 405 if the route does not take it.
    pub fn endpoint(&self, method: &str) -> Result<E, Problem> {
        let endpoint = self.methods.iter().find(|(name, _)| *name == method).map(|(_, endpoint)| *endpoint);
        endpoint.ok_or_else(|| Problem::method_not_allowed(&self.allow()))
    }

    /// The value of `Allow`: the methods, separated by commas.
    #[must_use]
    pub fn allow(&self) -> String {
        self.methods.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
    }
}

/// Every path of the API.
pub fn paths() -> impl Iterator<Item = &'static str> {
    DISPATCHER_ROUTES.iter().map(|route| route.path).chain(CUSTOMER_ROUTES.iter().map(|route| route.path))
}

/// A path's name in logs and metrics: the path itself if it is a route, else `other`, because any other path may contain
/// a customer's own data.
#[must_use]
pub fn route_name(path: &str) -> &'static str {
    paths().find(|route| *route == path).unwrap_or("other")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_and_a_method_lead_to_an_endpoint() {
        let endpoint = |path, method| Route::find(CUSTOMER_ROUTES, path).map(|route| route.endpoint(method));
        assert_eq!(endpoint("/files", "PUT").expect("a route").expect("a method"), Customer::UploadFile);
        assert_eq!(endpoint("/data", "HEAD").expect("a route").expect("a method"), Customer::GetData);
        let refusal = endpoint("/stats", "OPTIONS").expect("a route").expect_err("no such method");
        assert_eq!(refusal.header(), Some(("Allow", "GET, HEAD")));
        for path in ["/x", "/files/", "", "/healthz"] {
            assert!(endpoint(path, "GET").is_none(), "{path}");
        }
    }

    #[test]
    fn paths_and_methods_are_unique() {
        let all: Vec<_> = paths().collect();
        for (at, path) in all.iter().enumerate() {
            assert!(path.starts_with('/') && !all[..at].contains(path), "{path}");
        }
        for route in CUSTOMER_ROUTES {
            for (at, (method, _)) in route.methods.iter().enumerate() {
                assert!(route.methods[..at].iter().all(|(other, _)| other != method), "{method} {}", route.path);
            }
        }
    }

    #[test]
    fn a_name_in_the_log_is_a_route_or_nothing_of_the_customers() {
        for (path, name) in [("/files", "/files"), ("/", "/"), ("/healthz", "/healthz"), ("/secret", "other")] {
            assert_eq!(route_name(path), name);
        }
    }
}
